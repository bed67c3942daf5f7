build-asan/regress/vmd/test_mc146818: regress/vmd/test_mc146818.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/mc146818.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/mc146818.h:
vmd/devenv.h:
