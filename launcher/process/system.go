package process

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"cleat/launcher/process/proctree"

	"golang.org/x/sys/unix"
)

// Config is what the kernel needs to know about the init stage. The zero value
// is for a process without one: leftovers and terminals are left alone.
// pid1.Link.Kernel fills it in.
type Config struct {
	// Init is the pid of the init stage: leftovers are its descendants, and
	// its process group is the one that shares the terminal with a shell.
	Init int
	// Mask is the signal mask that processes are started with; nil is the one
	// of this process.
	Mask *unix.Sigset_t
	// Suspended is called when the child was stopped by a signal after which a
	// shell expects its whole job to be stopped. byTerminal says that the
	// terminal sent it: then the child has to go on if cleat cannot be stopped,
	// because nobody else could ever continue it. Optional; must not block.
	Suspended func(s syscall.Signal, byTerminal bool)
}

// system is the kernel of this machine.
type system struct {
	config    Config
	inherited []int // descriptors from 3 up that the child gets
	// groups are the ids of the process groups that are ended as a whole, of
	// those commands that still run: an orphan in one of them is no leftover.
	groups sync.Map

	mu       sync.Mutex
	terminal *terminal // nil: none
	// earlier is what ran under the init stage before the last child, or what is
	// ahead of it, was started, by pid: a volume's helper process, say. Not the
	// child's.
	earlier map[int]proctree.Process
	ahead   bool // something has been started ahead of the next child

	lines struct {
		sync.Mutex
		all []*stream // that are still copied, and perhaps others
	}
}

// New returns the kernel of this machine. Call it before anything else opens
// descriptors that are to be inherited: those that are open now, from 3 up and
// not close-on-exec, are the child's, and become close-on-exec here so that no
// other command gets them.
func New(c Config) Kernel {
	s := &system{config: c, inherited: claimInherited()}
	if c.Init != 0 {
		if group, err := unix.Getpgid(c.Init); err == nil {
			s.terminal = &terminal{fd: 0, home: group}
		}
	}
	return s
}

// Start implements [Kernel].
func (s *system) Start(spec Spec) (Process, error) {
	candidates, err := lookup(spec.Args, spec.Env)
	if err != nil {
		return nil, err
	}
	attr := syscall.ProcAttr{
		Env:   spec.Env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	if spec.User != "" {
		user, err := LookupUser(spec.User)
		if err != nil {
			return nil, err
		}
		attr.Sys.Credential = user.credential()
	}
	if !spec.Main {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
		}
		defer unix.Close(null)
		if spec.Ahead {
			s.mu.Lock()
			s.earlier, s.ahead = s.present(), true
			s.mu.Unlock()
		}
		attr.Files = []uintptr{uintptr(null), 2, 2}
		if spec.Beside {
			attr.Files[1] = 1
		}
		if spec.Output == nil && spec.Beside && spec.Prefix != "" {
			l, err := s.prefixed(spec, attr.Sys.Credential, attr.Files)
			if err != nil {
				return nil, err
			}
			defer l.started()
			return s.begin(spec, candidates, &attr, nil, l)
		}
		if spec.Output == nil {
			return s.begin(spec, candidates, &attr, nil, nil)
		}
		out, err := newOutput(spec.Output)
		if err != nil {
			return nil, err
		}
		defer out.started()
		attr.Files = []uintptr{uintptr(null), uintptr(out.end), uintptr(out.end)}
		return s.begin(spec, candidates, &attr, out, nil)
	}
	var l *lines
	if spec.Prefix != "" {
		if l, err = s.prefixed(spec, attr.Sys.Credential, attr.Files); err != nil {
			return nil, err
		}
		defer l.started()
	}
	attr.Files = append(attr.Files, inheritedFiles(s.inherited)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ahead {
		s.earlier = s.present()
	}
	s.ahead = false
	if s.terminal == nil || !s.terminal.ours() {
		return s.begin(spec, candidates, &attr, nil, l)
	}
	attr.Sys.Foreground, attr.Sys.Ctty = true, s.terminal.fd
	p, err := s.begin(spec, candidates, &attr, nil, l)
	if err != nil {
		s.terminal.take()
		return nil, err
	}
	s.terminal.given = p.Pid()
	return p, nil
}

// begin starts the first candidate that can be, as execvp does. out and l may be nil.
func (s *system) begin(spec Spec, candidates []string, attr *syscall.ProcAttr, out *output, l *lines) (Process, error) {
	var failure error
	for _, path := range candidates {
		pid, err := fork(path, spec.Args, attr, s.config.Mask)
		if err == nil {
			p := &started{pid: pid, kernel: s, main: spec.Main, whole: spec.Whole && !spec.Main, output: out, lines: l, exited: make(chan Exit, 1)}
			if p.whole {
				s.groups.Store(pid, nil)
			}
			go p.wait()
			return p, nil
		}
		reason := startFailure(path, spec, err)
		if failure == nil || err == syscall.EACCES {
			failure = reason
		}
		if err != syscall.ENOENT && err != syscall.ENOTDIR && err != syscall.EACCES {
			return nil, reason
		}
	}
	return nil, failure
}

// EndLeftovers implements [Kernel].
func (s *system) EndLeftovers(ctx context.Context, grace time.Duration) {
	if s.config.Init == 0 {
		return
	}
	s.mu.Lock()
	earlier := s.earlier
	s.mu.Unlock()
	proctree.End(ctx, func() ([]proctree.Process, error) {
		return s.besides(func(p proctree.Process) bool {
			if _, of := s.groups.Load(p.Group); of {
				return true
			}
			before, ok := earlier[p.Pid]
			return ok && before.Start == p.Start
		})
	}, grace)
}

// present lists what runs under the init stage and not under this process.
func (s *system) present() map[int]proctree.Process {
	if s.config.Init == 0 {
		return nil
	}
	all, err := s.besides(func(proctree.Process) bool { return false })
	if err != nil {
		return nil // then EndLeftovers cannot see anything either
	}
	found := make(map[int]proctree.Process)
	for _, p := range all {
		found[p.Pid] = p
	}
	return found
}

// besides lists what runs under the init stage, but not under this process, nor
// under what is to be skipped.
func (s *system) besides(skip func(proctree.Process) bool) ([]proctree.Process, error) {
	self := os.Getpid()
	if children, ok := proctree.Children(s.config.Init); ok && len(children) == 1 && children[0] == self {
		return nil, nil // as nearly always: no need to look at every process
	}
	tree, err := proctree.Read()
	if err != nil {
		return nil, err
	}
	return tree.Descendants(s.config.Init, func(p proctree.Process) bool { return p.Pid == self || skip(p) }), nil
}
