build-asan/regress/vmd/test_i8254: regress/vmd/test_i8254.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/i8254.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/i8254.h:
vmd/devenv.h:
