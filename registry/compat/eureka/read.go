package eureka

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cleat/registry/access"
)

// looked calls use with the namespace as it is now. Who reads it routes traffic
// by it and cannot acknowledge a drain; that is noted for each service that the
// reader is shown.
func (q *request) looked(use func(*snapshot)) {
	if q.registered.Warming() {
		refuse(q.w, http.StatusForbidden, "the server has just started, and does not know everything yet; try again in some seconds")
		return
	}
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
	use(s)
}

// read notes a reader of the services.
func (q *request) read(list *applications) {
	for _, app := range list.Apps {
		q.registered.Lookup([]byte(q.namespace), []byte(strings.ToLower(app.Name)))
	}
}

// all answers GET /apps.
func (q *request) all() {
	q.looked(func(s *snapshot) {
		list := s.all(q.visible)
		q.read(list)
		q.answer("applications", list)
	})
}

// delta answers GET /apps/delta. Its reader keeps all that it read before, so it
// reads everything.
func (q *request) delta() {
	q.looked(func(s *snapshot) {
		q.read(s.all(q.visible))
		q.answer("applications", s.delta(q.visible))
	})
}

// app answers GET /apps/{app}.
func (q *request) app() {
	if !q.may(access.Read) {
		return
	}
	q.looked(func(s *snapshot) {
		list := s.all(func(service string) bool { return service == q.service })
		if len(list.Apps) == 0 {
			refuse(q.w, http.StatusNotFound, fmt.Sprintf("there is no app %.80q", q.name))
			return
		}
		q.read(list)
		q.answer("application", list.Apps[0])
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
	q.looked(func(s *snapshot) {
		for _, app := range s.all(visible).Apps {
			for _, i := range app.Instances {
				if i.InstanceID == id {
					q.read(&applications{Apps: []*application{app}})
					q.answer("instance", i)
					return
				}
			}
		}
		refuse(q.w, http.StatusNotFound, fmt.Sprintf("there is no instance %.80q", id))
	})
}

// vip answers GET /vips/{address} and /svips/{address}: the instances that one of
// the addresses is of.
func (q *request) vip(address string, of func(*instance) string) {
	q.looked(func(s *snapshot) {
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
			refuse(q.w, http.StatusNotFound, fmt.Sprintf("nothing has the address %.80q", address))
			return
		}
		q.read(list)
		q.answer("applications", list)
	})
}
