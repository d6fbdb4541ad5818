package launcher

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"cleat/launcher/process"
	"cleat/launcher/process/processtest"
)

// To end a watch takes the kernel as long as many a child takes to stop: it is
// done at the same time.
func TestWatchEndsWhenTheStopBegins(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		web(w, "web-1", nil)
		b := w.newBox("front")
		b.kernel.Script("slow", func(p *processtest.Process) {
			p.React(func(syscall.Signal) { p.EndAfter(time.Second, process.Exit{}) })
		})
		source := b.file("in", "{{each web sep=' '}}{{addr}}{{end}}")
		b.run(env{"CLEAT_REQUIRE_WEB": "web", "CLEAT_TEMPLATE_X": "%DIR%/in:%DIR%/out:none"}, "slow")
		b.child()
		watched := func() (paths []string) {
			b.locked(func() { paths = b.watched })
			return paths
		}
		if !slices.Contains(watched(), source) {
			t.Errorf("watched are %q, expected %s among them", watched(), source)
		}
		b.signals <- syscall.SIGTERM
		w.eventually(10*time.Millisecond, "nothing is watched any more", func() bool { return len(watched()) == 0 })
		if len(b.kernel.Running()) == 0 {
			t.Error("the child has ended already")
		}
		b.wait()
	})
}
