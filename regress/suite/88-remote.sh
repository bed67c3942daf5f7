# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Control from other hosts: certificates on both sides, a user's rights and no
# more.  The other host is a network namespace.
limit=240

hosts_off() {
	ip netns del away 2>/dev/null || true
	ip link del va 2>/dev/null || true
}

# The hosts: this one is 10.77.0.1, called vmhost.
hosts() {
	hosts_off # of a test that failed
	ip netns add away
	ip link add va type veth peer name vb netns away
	ip addr add 10.77.0.1/24 dev va
	ip link set va up
	ip -n away addr add 10.77.0.2/24 dev vb
	ip -n away link set vb up
	ip -n away link set lo up
	grep -q vmhost /etc/hosts || echo "10.77.0.1 vmhost" >>/etc/hosts
}

# certificates: an authority, a host, users; another authority with its own.
certificates() {
	vmd-cert ca -d "$T/ca"
	vmd-cert host -d "$T/ca" vmhost 10.77.0.1
	for u in alice eve root bob mallory; do vmd-cert user -d "$T/ca" "$u"; done
	vmd-cert ca -d "$T/other"
	vmd-cert user -d "$T/other" alice
	vmd-cert host -d "$T/other" vmhost
}

# home NAME CERTIFICATE [CA]: a user's directory with those.
home() {
	local d=$T/home/$1/.config/vmctl
	mkdir -p "$d"
	cp "${3:-$T/ca}/ca.pem" "$d/ca.pem"
	cp "$2.pem" "$d/cert.pem"
	cp "$2.key" "$d/key.pem"
	chmod -R a+rX "$T/home"
}

# away NAME COMMAND...: on the other host, with the certificate of that home.
away() {
	local name=$1
	shift
	HOME=$T/home/$name ip netns exec away "$@"
}

listens() {
	cat <<-EOT
		socket owner root:vmusers
		listen on 10.77.0.1 tls {
			ca "$T/ca/ca.pem"
			certificate "$T/ca/vmhost.pem"
			key "$T/ca/vmhost.key"
			crl "$T/ca/crl.pem"
		}
		allow client "/CN=alice" as alice
		allow client "/CN=root" as root
		allow client "/CN=bob" as bob
		allow client "/CN=mallory" as mallory
	EOT
}

remote_up() {
	hosts
	certificates
	{
		listens
		tiny va shell 'memory 128M' 'owner alice' \
		    'console serial2'
		tiny vr idle 'memory 128M'
	} | vmd_up
	for u in alice eve root bob mallory; do home "$u" "$T/ca/$u"; done
	within 10 away root vmctl -H vmhost status
}

# The rights are those of the user that the certificate stands for.
t_rights() {
	remote_up
	[[ $(away alice vmctl -H vmhost status -j | jq length) = 2 ]]
	away alice vmctl -H vmhost start va
	away alice vmctl -H 10.77.0.1:7817 status va
	refused away alice vmctl -H vmhost start vr
	says "not permitted"
	refused away alice vmctl -H vmhost reload
	away root vmctl -H vmhost start vr
	becomes vr running 10
	refused away eve vmctl -H vmhost status
	says "your certificate is not allowed"
	away root vmctl -H vmhost log verbose
	away root vmctl -H vmhost log brief
	away alice vmctl -H vmhost pause va
	away alice vmctl -H vmhost unpause va
	# What happens is told as it happens.
	away alice vmctl -H vmhost events -j >"$T/events" &
	sleep 1
	away alice vmctl -H vmhost stop -fw va
	within 5 grep -q '"stopped"' "$T/events"
	kill %%
	away root vmctl -H vmhost stop -fwa
	# What is of that host's alone.
	refused away root vmctl -H vmhost start -d /tmp/x -b "$G/vmlinuz" x
	says "files of this host cannot be passed to vmhost"
	refused away root vmctl -H vmhost create -s 1M "$T/disk"
	says "create works on this host only, not on vmhost"
	not test -e "$T/disk"
	# Who may not use the socket may not from afar.
	refused as mallory vmctl status
	refused away mallory vmctl -H vmhost status
	says "Permission denied"
	hosts_off
}

t_console() {
	remote_up
	away alice vmctl -H vmhost start va
	{
		sleep 25
		printf 'echo it is %s\r' '$((6*7))'
		sleep 45
	} | away alice vmctl -H vmhost console va >"$T/away.console" 2>&1 &
	within 60 grep -aq "it is 42" "$T/away.console"
	# Another line of it.
	key va 'while sleep 1; do echo second line; done >/dev/ttyS1 &'
	away alice timeout 15 vmctl -H vmhost console -2n va >"$T/second" 2>&1 ||
		true
	grep -aq "second line" "$T/second"
	refused away alice vmctl -H vmhost console -v va
	says "console not found"
	# One at a time, whoever.
	refused vmctl console va
	says "in use"
	refused away root vmctl -H vmhost console va
	says "in use"
	vmctl stop -fw va
	within 10 grep -q "console closed" "$T/away.console"
	wait %% || true
	refused away alice vmctl -H vmhost console va
	says "console not found"
	away root vmctl -H vmhost start vr
	refused away alice vmctl -H vmhost console vr
	says "Permission denied"
	vmctl stop -fw vr
	hosts_off
}

# s_client OPTION...: what a stranger is told, who waits for it.
s_client() {
	ip netns exec away timeout 10 openssl s_client -connect 10.77.0.1:7817 \
	    "$@" < <(sleep 5) 2>&1 || true
}

t_strangers() {
	remote_up
	mark
	home wrong "$T/other/alice"
	refused away wrong vmctl -H vmhost status
	says "unknown ca|certificate"
	# Our own does not trust that authority either.
	home trusting "$T/ca/alice" "$T/other"
	refused away trusting vmctl -H vmhost status
	says "certificate verif"
	# Another name than that of the certificate.
	echo "10.77.0.1 elsewhere" >>/etc/hosts
	refused away alice vmctl -H elsewhere status
	says "name .elsewhere. not present|elsewhere"
	sed -i /elsewhere/d /etc/hosts
	# A host's certificate is none of a client.
	home host "$T/ca/vmhost"
	refused away host vmctl -H vmhost status
	# Expired.
	(
		cd "$T/ca" || exit
		cp alice.key late.key
		openssl req -new -config ca.cnf -subj /CN=alice -key late.key \
		    -out late.req
		openssl ca -batch -notext -config ca.cnf -extensions user \
		    -startdate 20200101000000Z -enddate 20210101000000Z \
		    -in late.req -out late.pem
	)
	home late "$T/ca/late"
	refused away late vmctl -H vmhost status
	says "expired"
	# Revoked, from the next reload on.
	away bob vmctl -H vmhost status
	vmd-cert revoke -d "$T/ca" bob
	vmctl reload
	sleep 1
	refused away bob vmctl -H vmhost status
	says "revoked"
	away alice vmctl -H vmhost status
	# No certificate, old TLS, no TLS at all.
	s_client | tee "$T/none" | grep "certificate required"
	s_client -tls1_1 -cipher ALL@SECLEVEL=0 | tee "$T/old" |
	    grep "protocol version"
	echo "GET / HTTP/1.0" | ip netns exec away timeout 5 \
	    socat - TCP:10.77.0.1:7817 >"$T/plain" || true
	not grep -a "HTTP" "$T/plain"
	vmctl status
	clean 5
	hosts_off
}

# tcp N: that many connections that say nothing; each is a process.
tcp() {
	local i
	for ((i = 0; i < $1; i++)); do
		ip netns exec away socat -u TCP:10.77.0.1:7817 \
		    "CREATE:$T/tcp.$i" &
	done
}

# sent_away TEXT: who says that is, within the time that a client has.
sent_away() {
	local rc=0
	ip netns exec away timeout 20 openssl s_client -quiet \
	    -connect 10.77.0.1:7817 -cert "$T/ca/alice.pem" \
	    -key "$T/ca/alice.key" >"$T/answer" 2>/dev/null \
	    < <(printf %s "$1"; sleep 25) || rc=$?
	[[ $rc != 124 ]] || fail "$1: still there"
	[[ ! -s $T/answer ]] || fail "$1: $(<"$T/answer")"
}

t_many_and_slow() {
	local i
	remote_up
	mark
	# Those that say nothing are gone after some seconds: quickly now.
	for i in 1 2 3 4 5; do
		tcp 100
		within 8 grep -q "refused: too many" "$T/vmd.log"
		[[ $(ss -Htn state established "( sport = :7817 )" | wc -l) -le 16 ]]
		away alice vmctl -H vmhost status >/dev/null 2>&1 || break
		[[ $i != 5 ]] || fail "nobody was refused"
	done
	# They have no say in what happens here.
	vmctl start vr
	vmctl stop -fw vr
	# Whoever says nothing goes; then there is room, at one a second.
	within 30 away alice vmctl -H vmhost status >"$T/out" 2>&1
	# Over TLS: a line that never ends, and one that says nothing of use.
	sent_away 'vmd 1 '
	sent_away $'nonsense\n'
	sent_away $'vmd 1 console ../va\n'
	sent_away $'vmd 1 virtio ../va\n'
	sent_away $'vmd 1 serial3 va\n'
	away alice vmctl -H vmhost status
	pkill socat || true
	hosts_off
}

t_process_killed() {
	local p
	remote_up
	mark
	away alice vmctl -H vmhost start va
	p=$(role_process remote)
	[[ -n $p ]] || fail "no process"
	[[ $(ps -o user= -p "$p") = _vmd ]]
	kill -9 "$p"
	within 20 away alice vmctl -H vmhost status va
	in_state va running
	# A certificate in its place, without a restart.
	p=$(role_process remote)
	cp "$T/other/vmhost.pem" "$T/ca/vmhost.pem"
	cp "$T/other/vmhost.key" "$T/ca/vmhost.key"
	vmctl reload
	sleep 1
	refused away alice vmctl -H vmhost status
	[[ $(role_process remote) = "$p" ]]
	vmctl stop -fw va
	hosts_off
}
