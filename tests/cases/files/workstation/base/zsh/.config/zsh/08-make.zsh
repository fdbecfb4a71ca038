# make
