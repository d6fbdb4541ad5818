package listeners

// verdict is what is known about whose a socket is.
type verdict int

const (
	// unseen: nobody has looked.
	unseen verdict = iota
	// ofChild: a process of the child's tree holds it.
	ofChild
	// ofBeside: a process beside the child holds it, and none of the child's.
	ofBeside
	// ofCleat: cleat opened it (close-on-exec, so no child has it).
	ofCleat
	// inherited: cleat got it from whoever started it and holds it for the child, which does not hold it (yet).
	inherited
	// absent: the whole tree could be read, and nobody in it holds it; to be confirmed, since a process that forks and
	// ends while we look can be passed over.
	absent
	// outside: absent twice.
	outside
	// unreadable: not found, but a part of the tree may not be read.
	unreadable
)

// settled verdicts need no further look. unreadable is settled as well, because looking again would give the same;
// but it is asked again whenever something else is a reason to look.
func (v verdict) settled() bool {
	return v.final() || v == unreadable
}

// final verdicts never change while the socket lives.
func (v verdict) final() bool { return v == ofChild || v == ofBeside || v == ofCleat || v == outside }

// ownership is a verdict, and for which kind of socket.
type ownership struct {
	verdict verdict
	udp     bool
}

// owners is what is known by inode. An inode leaves with its socket, since the kernel may use the number again.
type owners map[uint32]ownership

// of is the verdict on one socket. A socket without an inode is held by nobody who could be found: the kernel's own, or
// a sandbox that does not tell.
func (o owners) of(s socket) verdict {
	if s.inode == 0 {
		return unreadable
	}
	return o[s.inode].verdict
}

// vanished reports whether a socket that was there at the last read is not there now.
func (o owners) vanished(now []socket, wantUDP bool) bool {
	there := 0
	for _, s := range now {
		if _, known := o[s.inode]; known {
			there++
		}
	}
	expected := 0
	for _, known := range o {
		if wantUDP || !known.udp {
			expected++
		}
	}
	return there < expected
}

// settle forgets sockets that are gone, and looks for the owners of those not settled.
func (o owners) settle(now []socket, wantUDP bool, t *tree) {
	if o.vanished(now, wantUDP) {
		o.forget(now, wantUDP)
	}
	look := false
	for _, s := range now {
		if s.inode == 0 {
			continue
		}
		known, ok := o[s.inode]
		if !ok {
			known.udp = s.udp
			o[s.inode] = known
		}
		look = look || !known.verdict.settled()
	}
	if !look {
		return
	}
	sought := make(map[uint32]verdict, len(now))
	for _, s := range now {
		if s.inode != 0 && !o[s.inode].verdict.final() {
			sought[s.inode] = unseen
		}
	}
	complete := t.find(sought)
	for inode, found := range sought {
		known := o[inode]
		switch {
		case found != unseen:
			known.verdict = found
		case !complete:
			known.verdict = unreadable
		case known.verdict == absent:
			known.verdict = outside
		default:
			known.verdict = absent
		}
		o[inode] = known
	}
}

func (o owners) forget(now []socket, wantUDP bool) {
	there := make(map[uint32]bool, len(now))
	for _, s := range now {
		there[s.inode] = true
	}
	for inode, known := range o {
		if !there[inode] && (wantUDP || !known.udp) {
			delete(o, inode)
		}
	}
}
