package bolt_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cleat/registry/engine"
	"cleat/registry/engine/bolt"
	"cleat/registry/engine/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		dir := filepath.Join(t.TempDir(), "made", "if needed")
		return enginetest.Subject{Open: func(t *testing.T) engine.Engine {
			e, err := bolt.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}}
	})
}

func write(t *testing.T, e *bolt.Engine, ids ...string) {
	t.Helper()
	var changes []engine.Change
	for _, id := range ids {
		changes = append(changes, engine.Change{Record: engine.Record{
			Key: engine.Key{Kind: engine.Instance, Namespace: "default", ID: id}, Value: []byte(strings.Repeat(id, 100)),
		}})
	}
	if _, err := e.Write(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func filled(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		var ids []string
		for m := range 50 {
			ids = append(ids, fmt.Sprintf("id%d-%d", n, m))
		}
		write(t, e, ids...)
	}
	path = e.Path()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := bolt.Open(dir); err == nil || !strings.Contains(err.Error(), "another cleatd") || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
}

// TestDamaged: whatever became of the file, the error says so, and what to do;
// or it is found to be whole. It never takes the process down.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"garbage":      func(data []byte) []byte { return []byte(strings.Repeat("this is no database", 5000)) },
		"short":        func(data []byte) []byte { return data[:100] },
		"cut":          func(data []byte) []byte { return data[:len(data)/3] },
		"both heads":   func(data []byte) []byte { clear(data[:8192]); return data },
		"zeros behind": func(data []byte) []byte { clear(data[8192:]); return data },
		"ones behind": func(data []byte) []byte {
			for n := 8192; n < len(data); n++ {
				data[n] = 0xff
			}
			return data
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := filled(t)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = bolt.Open(dir)
			var damaged *bolt.DamagedError
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("got %v", err)
			}
			// The lock is given up.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			e, err := bolt.Open(dir)
			if err != nil {
				t.Fatalf("moved away: %v", err)
			}
			e.Close()
		})
	}
}

// TestDamagedInUse: a file that is cut while it is open.
func TestDamagedInUse(t *testing.T) {
	dir, path := filled(t)
	e, err := bolt.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Load(t.Context()); err == nil {
		t.Error("Load finds nothing wrong")
	}
}

func TestCannotBeMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
