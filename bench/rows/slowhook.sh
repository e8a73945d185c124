# The same on a disk that takes a millisecond more.  Sourced by bench/run.

place[slowhook]=999

. "$here/gateway.sh"

# The same on a disk that takes a millisecond more.
bench_slowhook() {
	local http_port node_port node hook rate p99
	configure_gateway
	run_job gcc -O2 -shared -fPIC -o "$work/slowsync.so" "$here/slowsync.c" -ldl
	restart_server LD_PRELOAD="$work/slowsync.so"
	compare_posts slow 128
	restart_server
	row slow128 'POST, connections: 128, the disk 1 ms slower' 'Node http + pg' '/s' '>= 3'
	row slow128.p99 '… p99' 'Node http + pg' ms '<= 1'
}
