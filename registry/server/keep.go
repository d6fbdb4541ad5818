package server

import (
	"context"
	"fmt"
	"time"

	"cleat/registry/engine"
)

// The numbers of what is written behind.
const (
	// saveAfter is how long changes are gathered before they are written.
	saveAfter = 100 * time.Millisecond
	// saveAtOnce is how many records one write holds: the server's mutex is held
	// while they are copied.
	saveAtOnce = 512
	// saveWithin is how long an operation waits for what it has changed to be
	// kept.
	saveWithin = 2 * time.Second
	// writeWithin is how long one write may take.
	writeWithin = 10 * time.Second
	// loadWithin is how long reading everything at the start may take.
	loadWithin = time.Minute
	// retrySave and maxRetrySave are how long the server waits after a write that
	// failed: the time doubles.
	retrySave    = time.Second
	maxRetrySave = 30 * time.Second
)

// keeper writes what has changed to the engine, behind the events that changed
// it.
//
//	idle --a change--> gathering --0.1 s, or somebody waits--> writing --done--> idle
//	                      ^                                       |
//	                      +-- 1 s, doubling to 30 s <-- failing <-+
//
// What changes several times meanwhile is written once, as it is then. While it
// fails, nothing is lost but what the server would not know after a restart.
type keeper struct {
	engine engine.Engine
	wake   chan struct{}     // something is unsaved
	waits  chan chan<- error // of those who wait until it is saved
}

func newKeeper(e engine.Engine) *keeper {
	if e == nil {
		return nil
	}
	return &keeper{engine: e, wake: make(chan struct{}, 1), waits: make(chan chan<- error)}
}

// lasting reports whether what is registered outlives the server.
func (s *Server) lasting() bool { return s.keeper != nil && s.keeper.engine.Traits().Lasting }

// load reads what was kept into a core in which nothing has happened yet.
func (s *Server) load(ctx context.Context, c *core) error {
	if s.keeper == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	records, _, err := s.keeper.engine.Load(ctx)
	if err != nil {
		return err
	}
	c.unsaved.keys = make(map[engine.Key]struct{})
	c.unsaved.known = make(map[engine.Key]struct{}, len(records))
	registered, held, marks, unreadable := c.restore(records)
	c.end()
	c.checkAgain(s.checker)
	if unreadable > 0 {
		s.log.Warn("some of what was kept cannot be read, and is passed over", "records", unreadable)
	}
	s.log.Info("what was kept is known again", "registered", registered, "held", held, "in_maintenance", marks)
	return nil
}

// saved waits until everything that has happened so far is kept.
func (s *Server) saved() error {
	if !s.lasting() {
		return nil
	}
	timer := time.NewTimer(saveWithin)
	defer timer.Stop()
	done := make(chan error, 1)
	select {
	case s.keeper.waits <- done:
	case <-timer.C:
		return fmt.Errorf("it was not written within %v", saveWithin)
	}
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("it was not written within %v", saveWithin)
	}
}

// run writes until ctx ends, and then once more. stop ends what waits meanwhile.
func (k *keeper) run(ctx context.Context, s *Server) {
	delay := saveAfter
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	retry := retrySave
	for {
		var waiting []chan<- error
		select {
		case <-ctx.Done():
			_ = k.save(context.WithoutCancel(ctx), s)
			return
		case done := <-k.waits:
			waiting = append(waiting, done)
		case <-k.wake:
			timer.Reset(delay)
			select {
			case <-ctx.Done():
				continue
			case done := <-k.waits:
				waiting = append(waiting, done)
			case <-timer.C:
			}
		}
		for more := true; more; { // whoever waits by now
			select {
			case done := <-k.waits:
				waiting = append(waiting, done)
			default:
				more = false
			}
		}
		err := k.save(ctx, s)
		for _, done := range waiting {
			done <- err
		}
		if err != nil {
			delay, retry = retry, min(2*retry, maxRetrySave)
			s.wakeKeeper()
			continue
		}
		delay, retry = saveAfter, retrySave
	}
}

// save writes all that is unsaved.
func (k *keeper) save(ctx context.Context, s *Server) error {
	for {
		s.mu.Lock()
		batch := s.core.unsavedBatch(saveAtOnce)
		s.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		err := k.write(ctx, batch)
		s.mu.Lock()
		s.core.written(batch, err)
		s.mu.Unlock()
		s.noteKeeping(err)
		if err != nil {
			return err
		}
	}
}

func (k *keeper) write(ctx context.Context, batch []snapshot) error {
	changes := make([]engine.Change, 0, len(batch))
	for _, b := range batch {
		c := engine.Change{Record: engine.Record{Key: b.key}, Delete: b.value == nil}
		if b.value != nil {
			c.Value = encodeJSON(b.value)
		}
		changes = append(changes, c)
	}
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	_, err := k.engine.Write(ctx, changes)
	return err
}

// noteKeeping notes whether the last write succeeded. The log has a line for a
// change only: a disk that is full stays full for a while.
func (s *Server) noteKeeping(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	before := s.keeping.Swap(&text)
	switch was := before != nil && *before != ""; {
	case err != nil && !was:
		s.log.Error("cannot keep the state; carrying on without, and trying again", "error", err)
	case err == nil && was:
		s.log.Info("the state is kept again")
	}
}

// keepingState says in a word whether the state is kept; empty: nowhere.
func (s *Server) keepingState() string {
	if !s.lasting() {
		return ""
	}
	if text := s.keeping.Load(); text != nil && *text != "" {
		return "failing"
	}
	return "ok"
}

// wakeKeeper tells the keeper that something is unsaved.
func (s *Server) wakeKeeper() {
	select {
	case s.keeper.wake <- struct{}{}:
	default:
	}
}
