package launcher

import (
	"testing"
	"time"
)

// A killed init stage closes the channel of signals. A loop that spins on that
// would hang the bubble.
func TestInitStageKilled(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		b := w.newBox("db")
		b.run(mysql)
		b.listen(3306)
		child := b.child()
		began := time.Now()
		close(b.signals)
		if code := b.wait(); code != 143 {
			t.Errorf("exit code %d, want 143: the child's own", code)
		}
		if child.Running() {
			t.Error("the child still runs")
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("it took %v, longer than any stop", took)
		}
		if !b.logged("error: the init stage is gone") {
			t.Error("nothing is said of it")
		}
	})
}
