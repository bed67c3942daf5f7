build-asan/vmd/aml.o: vmd/aml.c vmd/aml.h
vmd/aml.h:
