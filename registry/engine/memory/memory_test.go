package memory_test

import (
	"errors"
	"fmt"
	"testing"

	"cleat/registry/engine"
	"cleat/registry/engine/enginetest"
	"cleat/registry/engine/memory"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Subject {
		store := memory.New()
		return enginetest.Subject{
			Open:   func(t *testing.T) engine.Engine { return store.Open() },
			Expire: func(owner string) { store.Expire(owner) },
		}
	})
}

// Who is too far behind is told so, rather than told half of it.
func TestTooOld(t *testing.T) {
	e := memory.New().Open()
	_, at, err := e.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5000 {
		c := engine.Change{Record: engine.Record{Key: engine.Key{Kind: engine.Instance, Namespace: "default", ID: fmt.Sprint(n)}}}
		if _, err := e.Write(t.Context(), []engine.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	err = e.Watch(t.Context(), at, func([]engine.Change) { t.Error("told something") })
	if !errors.Is(err, engine.ErrTooOld) {
		t.Errorf("got %v", err)
	}
}
