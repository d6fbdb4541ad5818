package launcher

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"time"

	"cleat/registry"
	"cleat/registry/client"
	"cleat/templates"
)

// effective is what views and self look like to templates.
type effective struct {
	files templates.Data
	child templates.Data
	// revisions are those of the views, as far as they were not acknowledged
	// by then.
	revisions map[string]registry.Revision
}

// same reports whether templates would see no difference.
func (e effective) same(other effective) bool {
	return reflect.DeepEqual(e.files.Views, other.files.Views) && e.files.Self == other.files.Self &&
		reflect.DeepEqual(e.child.Views, other.child.Views)
}

func (e effective) rendering(env []string) rendering {
	return rendering{files: e.files, child: e.child, env: env}
}

// snapshot returns what templates would see now.
func (s *supervisor) snapshot() effective {
	self := s.self()
	files := templates.Data{Views: make(map[string]templates.View, len(s.needs)), Self: self, Env: s.env}
	child := templates.Data{Views: make(map[string]templates.View, len(s.needs)), Self: self, Env: s.env}
	for _, n := range s.needs {
		files.Views[n.Alias] = n.templateView(n.files, s.consumer)
		child.Views[n.Alias] = n.templateView(n.child, s.consumer)
	}
	return effective{files, child, maps.Clone(s.pending)}
}

// viewed takes the server's next view.
func (s *supervisor) viewed(e client.Viewed) {
	now := time.Now()
	key := e.Message.Filter
	s.pending[key] = e.View.Revision
	hurry := false
	for _, n := range s.needs {
		if n.key == key {
			hurry = n.viewed(e.View, e.Message, now) || hurry
		}
	}
	s.judge()
	if s.life.stopping() {
		s.acknowledge(s.pending, "")
		return
	}
	if s.heldEverywhere(key) {
		// Nothing will be done about it, so nobody has to wait to be told.
		s.acknowledge(map[string]registry.Revision{key: e.View.Revision}, "")
	}
	s.changed(now, hurry)
}

// changed begins or extends the quiet period.
func (s *supervisor) changed(now time.Time, hurry bool) {
	if s.life.stopping() {
		return
	}
	var splay time.Duration
	if s.begun {
		splay = s.splay() // nothing acts before the first start
	}
	s.quiet = s.quiet.changed(now, s.set.QuietMin, s.set.QuietMax, splay, hurry)
	s.alarm.at(alarmQuiet, s.quiet.due)
}

// sourcesChanged takes word that a source or a watched file may have changed.
func (s *supervisor) sourcesChanged() {
	s.dirty = true
	s.changed(time.Now(), false)
}

// quietOver acts on the changes of the quiet period.
func (s *supervisor) quietOver() {
	switch s.life {
	case lifeRunning, lifeTurning, lifeBackoff:
		s.quiet = quiet{}
		if s.batch != nil || s.rendering {
			s.again = true
			return
		}
		s.beginBatch()
	case lifePreparing, lifeHooking, lifeHalting:
		s.again = true // the start that follows renders anew, or looks again
	case lifeWaiting:
		if !s.begun && len(s.waitedFor()) > 0 {
			s.quiet = quiet{} // what meets them begins another one
		}
	}
}

// splay is the random delay of this change, so that a fleet does not act as one.
func (s *supervisor) splay() time.Duration {
	if s.set.Splay <= 0 {
		return 0
	}
	return rand.N(s.set.Splay)
}
