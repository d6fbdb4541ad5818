package bolt_test

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"cleat/registry/engine"
	"cleat/registry/engine/bolt"
)

// TestReadOnly: a file that cannot be written to is still there to be read.
func TestReadOnly(t *testing.T) {
	dir, path := filled(t)
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(path, 0o400), os.Chmod(dir, 0o500)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	const nobody = 65534
	if os.Getuid() == 0 { // who may write wherever it likes
		if err := errors.Join(os.Chown(path, nobody, nobody), os.Chown(dir, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		as := func(uid uintptr) {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
				t.Fatal(errno)
			}
		}
		as(nobody)
		defer as(0)
	}
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if records, _, err := e.Load(t.Context()); err != nil || len(records) != 300 {
		t.Errorf("loaded %d records, %v", len(records), err)
	}
	if _, err := e.Write(t.Context(), []engine.Change{{Record: engine.Record{Key: engine.Key{Kind: engine.Mark}}}}); err == nil {
		t.Error("wrote")
	}
}

// TestFull: a disk that is full makes Write fail, and leaves what is there. The
// kernel's limit on the size of files stands for the disk.
func TestFull(t *testing.T) {
	dir, path := filled(t)
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	limited(t, uint64(info.Size()), func() {
		big := engine.Change{Record: engine.Record{
			Key: engine.Key{Kind: engine.Instance, Namespace: "default", ID: "big"}, Value: make([]byte, engine.MaxValue),
		}}
		if _, err := e.Write(t.Context(), []engine.Change{big}); err == nil {
			t.Error("wrote to a full disk")
		}
		if records, _, err := e.Load(t.Context()); err != nil || len(records) != 300 {
			t.Errorf("loaded %d records, %v", len(records), err)
		}
	})
	write(t, e, "later")
	if records, _, err := e.Load(t.Context()); err != nil || len(records) != 301 {
		t.Errorf("with room again: loaded %d records, %v", len(records), err)
	}
}

// limited runs do with a limit on the size of the files that this process writes.
func limited(t *testing.T, size uint64, do func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // the runtime would take it for a bug
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}
