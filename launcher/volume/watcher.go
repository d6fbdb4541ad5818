package volume

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// gatherTime is how long events are gathered before they are told: they come
// in bursts, and everything is looked at for each.
const gatherTime = 10 * time.Millisecond

// Watcher tells when it is worth to look at volumes again.
type Watcher struct {
	changed chan<- struct{}
	paths   chan []string
	log     *slog.Logger
}

// NewWatcher returns a watcher that sends to changed, which has room for one:
// once for any number of changes that nobody has taken yet.
func NewWatcher(changed chan<- struct{}, log *slog.Logger) *Watcher {
	return &Watcher{changed: changed, paths: make(chan []string, 1), log: log}
}

// Await names the directories that are missing, in place of earlier ones:
// besides mounts, their appearance and a change of their mode or owner is told.
// It never blocks. One goroutine at a time may call it.
func (w *Watcher) Await(paths []string) {
	select {
	case <-w.paths: // nobody has seen the earlier ones
	default:
	}
	w.paths <- paths
}

// Run watches until ctx ends. The error says why it cannot watch mounts; that it
// cannot watch directories it says in the log, once, and goes on without.
func (w *Watcher) Run(ctx context.Context) error {
	mounts, err := newMounts()
	if err != nil {
		return err
	}
	mounted := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		mounts.run(mounted)
	}()
	defer func() {
		mounts.close()
		<-ended
	}()
	var dirs directories
	defer dirs.close()
	said := false
	await := func(paths []string) {
		if err := dirs.await(paths); err != nil && !said {
			said = true
			w.log.Warn("cannot watch for directories; they are looked at now and then only", "cause", err)
		}
	}
	gathered := time.After(gatherTime) // whatever happened before the table was open
	for {
		select {
		case <-mounted:
		case paths := <-w.paths:
			await(paths)
		case <-dirs.events():
		case <-dirs.errors(): // an overflow: events were lost
		case <-gathered:
			gathered = nil
			await(dirs.paths) // a further part of a path may be there now
			select {
			case w.changed <- struct{}{}:
			default:
			}
			continue
		case <-ctx.Done():
			return nil
		}
		if gathered == nil {
			gathered = time.After(gatherTime)
		}
	}
}

// directories watches for missing directories, with one inotify instance that
// is there only as long as there are any.
type directories struct {
	watcher *fsnotify.Watcher
	paths   []string
}

func (d *directories) events() <-chan fsnotify.Event {
	if d.watcher == nil {
		return nil
	}
	return d.watcher.Events
}

func (d *directories) errors() <-chan error {
	if d.watcher == nil {
		return nil
	}
	return d.watcher.Errors
}

func (d *directories) close() {
	if d.watcher != nil {
		_ = d.watcher.Close()
		d.watcher = nil
	}
}

// await watches each path, if it is there, and the nearest directory above it.
func (d *directories) await(paths []string) error {
	d.paths = paths
	if len(paths) == 0 {
		d.close()
		return nil
	}
	if d.watcher == nil {
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			return err
		}
		d.watcher = watcher
	}
	for _, path := range paths {
		_ = d.watcher.Add(path) // perhaps it is not there
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			if d.watcher.Add(dir) == nil || dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// mounts waits for changes of the table of mounts without keeping a thread for
// it: the table can be polled (proc(5)), and Go's own poller does that for a
// descriptor that does not block.
type mounts struct {
	table *os.File
}

func newMounts() (*mounts, error) {
	fd, err := unix.Open(mountTable, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mounts cannot be watched: %w", &os.PathError{Op: "open", Path: mountTable, Err: err})
	}
	return &mounts{table: os.NewFile(uintptr(fd), mountTable)}, nil
}

// run tells of each change until close is called. The poller's word is all that
// there is of one: asking the kernel for a change takes it away, and the poller
// has asked. One that comes between two waits is seen all the same, because it
// was there before what was just told is looked at.
func (m *mounts) run(changed chan<- struct{}) {
	raw, err := m.table.SyscallConn()
	if err != nil {
		return
	}
	for {
		woken := false
		if raw.Read(func(uintptr) bool {
			was := woken
			woken = true
			return was
		}) != nil {
			return
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func (m *mounts) close() { _ = m.table.Close() }
