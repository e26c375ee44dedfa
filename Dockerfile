# vc for a CPU, from the files of a checkout:
#
#     docker build --tag vc .
#     docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" vc vc-convert --model six_voices --to TM1 anna.wav
FROM python:3.11-slim

# ffmpeg reads m4a and video; tools/setup.sh installs all else.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/*
COPY . /opt/vc
RUN TORCH=cpu /opt/vc/tools/setup.sh && rm -rf /root/.cache
ENV PATH=/opt/vc/tools/venv/bin:$PATH \
    HOME=/tmp
WORKDIR /data
CMD ["vc", "--help"]
