build-asan/regress/vmd/test_i8042: regress/vmd/test_i8042.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/i8042.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/i8042.h:
vmd/devenv.h:
