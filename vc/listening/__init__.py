"""What people hear, asked of them: recordings -> kit -> page -> answers -> score."""
