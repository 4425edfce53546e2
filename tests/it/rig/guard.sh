#!/bin/sh
# Runs a server for a test, and ends it when the test is gone, however it went: by SIGKILL too.
#
#   guard.sh DIRECTORY PROGRAM [ARGUMENT...]
#
# Standard input is a pipe whose other end the test holds: when it closes, the server is killed and DIRECTORY is
# removed. Standard output gets the server's process id, standard error what the server prints; the exit status is
# the server's. The caller starts the guard in a process group of its own, out of reach of Ctrl-C and of the signals
# with which a test runner ends a test, so that the one end left is the pipe's.
set -u
directory=$1
shift

# What writes past a limit on its files gets an error, as from a full disk, and no signal.
trap '' XFSZ

exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
# When the test dies, the kernel sends SIGHUP to a group in which a process is stopped. The guard must not die of it.
trap '' HUP
echo "$server"
# What the shell has to say ("Killed") is not the server's.
exec >/dev/null 2>&1

{
    read -r _ <&3
    trap '' TERM
    kill -9 "$server"
    while kill -0 "$server"; do sleep 0.02; done
    rm -rf "$directory"
} &
reader=$!
exec 3<&-

wait "$server"
status=$?
kill "$reader"
wait "$reader"
exit "$status"
