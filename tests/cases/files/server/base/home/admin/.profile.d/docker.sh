# docker
