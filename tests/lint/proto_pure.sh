#!/bin/sh
# SPDX-License-Identifier: MIT
# The codec does no I/O, reads no clock, starts no thread and prints nothing:
# none of these may be among the symbols its objects ask for.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 libproto.a" >&2; exit 2; }

undefined=$(nm --undefined-only --format=posix "$1" | awk 'NF >= 2 && $2 == "U" {print $1}' | sort -u)
[ -n "$undefined" ] || { echo "$1: no symbols" >&2; exit 2; }

forbidden='^(_*(open|openat|creat|fopen|freopen|fdopen|read|pread|readv|write|pwrite|writev|close|fclose|fread|fwrite|fgets|getline|ioctl|poll|select|epoll_.*|socket|connect|bind|listen|accept|accept4|send|sendto|sendmsg|recv|recvfrom|recvmsg|getaddrinfo|time|gettimeofday|clock|clock_gettime|clock_nanosleep|nanosleep|sleep|usleep|localtime|localtime_r|gmtime|gmtime_r|mktime|pthread_.*|thrd_.*|mtx_.*|fork|exec.*|system|popen|printf|vprintf|fprintf|vfprintf|dprintf|puts|fputs|putchar|fputc|perror|syslog|getenv|setenv|setlocale|rand|random|getrandom|exit|abort|raise|signal|sigaction)(_chk)?|stdout|stderr|stdin)$'

bad=$(printf '%s\n' "$undefined" | grep -E "$forbidden" || true)
if [ -n "$bad" ]; then
    echo "proto/ must stay pure, but its objects use:" >&2
    printf '%s\n' "$bad" >&2
    exit 1
fi
