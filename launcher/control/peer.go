package control

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerUser returns the user at the other end of a connection: at this end's
// view, the one that connected; at the other's, the one that listens. It is
// the kernel's word, and does not change when that process changes its user.
func peerUser(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, fmt.Errorf("cannot tell who is at the other end: %w", failed)
	}
	return int(cred.Uid), nil
}

// may reports whether a user may ask for that, of a launcher that runs as own.
func may(uid, own int, do Do) bool {
	return do == DoStatus || do == DoReport || uid == 0 || uid == own
}
