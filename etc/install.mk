# SPDX-License-Identifier: ISC
# make install [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
#
# With an empty DESTDIR, as root, the user _vmd and what tmpfiles.d(5) says
# are made at once; a package does that when it is installed.

DESTDIR		?=
bindir		= $(DESTDIR)$(PREFIX)/bin
sbindir		= $(DESTDIR)$(PREFIX)/sbin
sharedir	= $(DESTDIR)$(PREFIX)/share
# These are looked for below /usr/lib wherever the programs are.
usrlib		= $(DESTDIR)/usr/lib
man_PAGES	= $(wildcard vmd/*.[1-8] vmctl/*.[1-8])

.PHONY: install install-system

install: all
	install -d $(bindir) $(sbindir) $(DESTDIR)$(SYSCONFDIR) \
	    $(usrlib)/sysusers.d $(usrlib)/tmpfiles.d $(usrlib)/udev/rules.d \
	    $(usrlib)/systemd/system $(sharedir)/doc/vmm/examples \
	    $(sharedir)/bash-completion/completions
	install -d -m 755 $(DESTDIR)/var/empty
	install -m 755 $(B)/vmd/vmd $(sbindir)/vmd
	install -m 755 $(B)/vmctl/vmctl $(bindir)/vmctl
	ln -sf vmctl $(bindir)/vmmctl
	install -m 644 etc/vmd.sysusers $(usrlib)/sysusers.d/vmd.conf
	install -m 644 etc/vmd.tmpfiles $(usrlib)/tmpfiles.d/vmd.conf
	install -m 644 etc/vmd.rules $(usrlib)/udev/rules.d/60-vmd.rules
	sed 's,@PREFIX@,$(PREFIX),g' etc/vmd.service \
	    >$(usrlib)/systemd/system/vmd.service
	chmod 644 $(usrlib)/systemd/system/vmd.service
	install -m 644 etc/vm.conf $(sharedir)/doc/vmm/examples/vm.conf
	@if [ -f vmctl/vmctl.bash ]; then \
		install -m 644 vmctl/vmctl.bash \
		    $(sharedir)/bash-completion/completions/vmctl; \
	fi
	@set -e; for m in $(man_PAGES); do \
		d=$(sharedir)/man/man$${m##*.}; \
		install -d $$d; install -m 644 $$m $$d/; \
	done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then \
		$(MAKE) --no-print-directory install-system; \
	fi

install-system:
	@if getent passwd _vmd >/dev/null; then :; \
	elif command -v systemd-sysusers >/dev/null; then \
		systemd-sysusers vmd.conf; \
	else \
		adduser --system --group --no-create-home --home /var/empty \
		    --shell /usr/sbin/nologin --force-badname _vmd; \
	fi
	@if [ -d /run/systemd/system ]; then \
		systemd-tmpfiles --create vmd.conf; \
		systemctl daemon-reload; \
	fi
