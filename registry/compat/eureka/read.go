package eureka

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cleat/registry/access"
)

// looked calls use with the namespace as it is now, and then what that returns:
// the answer. Clients may be slow to take it, and others do not wait for them.
func (q *request) looked(use func(*snapshot) (answer func())) {
	if q.registered.Warming() {
		refuse(q.w, http.StatusForbidden, "the server has just started, and does not know everything yet; try again in some seconds")
		return
	}
	q.current(use)()
}

func (q *request) current(use func(*snapshot) func()) func() {
	q.mu.Lock()
	s := q.snapshots[q.namespace]
	if s == nil {
		s = &snapshot{changes: make(map[string]change)}
		q.snapshots[q.namespace] = s
	}
	q.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh(q.registered, q.namespace)
	return use(s)
}

// read notes a reader of the services: who reads here routes traffic by it, and
// cannot acknowledge a drain.
func (q *request) read(apps ...*application) {
	for _, app := range apps {
		q.registered.Lookup([]byte(q.namespace), []byte(strings.ToLower(app.Name)))
	}
}

// missed answers that something is not there.
func (q *request) missed(format string, what string) func() {
	return func() { refuse(q.w, http.StatusNotFound, fmt.Sprintf(format, what)) }
}

// all answers GET /apps.
func (q *request) all() {
	q.looked(func(s *snapshot) func() {
		list := s.all(q.visible)
		return func() {
			q.read(list.Apps...)
			q.answer("applications", list)
		}
	})
}

// delta answers GET /apps/delta. Its reader keeps all that it read before, so it
// reads everything.
func (q *request) delta() {
	q.looked(func(s *snapshot) func() {
		list, all := s.delta(q.visible), s.all(q.visible)
		return func() {
			q.read(all.Apps...)
			q.answer("applications", list)
		}
	})
}

// app answers GET /apps/{app}.
func (q *request) app() {
	if !q.may(access.Read) {
		return
	}
	q.looked(func(s *snapshot) func() {
		app := s.app(q.service)
		if app == nil {
			return q.missed("there is no app %.80q", q.name)
		}
		return func() {
			q.read(app)
			q.answer("application", app)
		}
	})
}

// instance answers GET /apps/{app}/{id}.
func (q *request) instance() {
	if !q.may(access.Read) {
		return
	}
	q.find(func(service string) bool { return service == q.service }, q.id)
}

// anywhere answers GET /instances/{id}.
func (q *request) anywhere(id string) { q.find(q.visible, id) }

func (q *request) find(visible func(string) bool, id string) {
	q.looked(func(s *snapshot) func() {
		for _, app := range s.all(visible).Apps {
			for _, i := range app.Instances {
				if i.InstanceID == id {
					return func() {
						q.read(app)
						q.answer("instance", i)
					}
				}
			}
		}
		return q.missed("there is no instance %.80q", id)
	})
}

// vip answers GET /vips/{address} and /svips/{address}: the instances that one of
// the addresses is of.
func (q *request) vip(address string, of func(*instance) string) {
	q.looked(func(s *snapshot) func() {
		list := assemble(func(yield func(string, *instance)) {
			for _, app := range s.all(q.visible).Apps {
				for _, i := range app.Instances {
					if slices.ContainsFunc(strings.Split(of(i), ","), func(a string) bool { return strings.EqualFold(a, address) }) {
						yield(strings.ToLower(app.Name), i)
					}
				}
			}
		})
		if len(list.Apps) == 0 {
			return q.missed("nothing has the address %.80q", address)
		}
		return func() {
			q.read(list.Apps...)
			q.answer("applications", list)
		}
	})
}
