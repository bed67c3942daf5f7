build-asan/vmd/mc146818.o: vmd/mc146818.c lib/gmem.h vmd/mc146818.h \
 vmd/devenv.h
lib/gmem.h:
vmd/mc146818.h:
vmd/devenv.h:
