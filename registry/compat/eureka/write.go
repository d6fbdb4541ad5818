package eureka

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// register answers POST /apps/{app}.
func (q *request) register() {
	if !q.may(access.Register) {
		return
	}
	body := q.r.Body
	if q.r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			refuse(q.w, http.StatusBadRequest, "the body is not what gzip made: "+err.Error())
			return
		}
		defer unpacked.Close()
		body = unpacked
	}
	i, err := decodeInstance(q.name, body)
	if err != nil {
		refuse(q.w, http.StatusBadRequest, err.Error())
		return
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	// An operator's override outlives the client that registers again.
	if old, found := q.kept(idOf(q.service, i.InstanceID)); found && (i.Override == "" || i.Override == unknown) {
		i.Override = old.Override
	}
	if !q.put(i) || i.maintained() && !q.maintain(idOf(q.service, i.InstanceID), true) {
		return
	}
	q.w.WriteHeader(http.StatusNoContent)
}

// kept returns what the client of an instance said, with the overrides since.
func (q *request) kept(id string) (*instance, bool) {
	r, found := q.registered.Registration(q.namespace, id)
	if !found || r.Source != source || r.Instance.Service != q.service {
		return nil, false
	}
	i := new(instance)
	return i, json.Unmarshal(r.Extra, i) == nil
}

// put registers the instance, and answers when that failed.
func (q *request) put(i *instance) bool {
	r, err := i.registration(q.namespace, q.service)
	if err == nil {
		if is, found := q.registered.Registration(q.namespace, r.Instance.ID); found && (is.Source != source || is.Instance.Service != q.service) {
			refuse(q.w, http.StatusConflict, fmt.Sprintf("the instance %.80q of the service %s was registered by the interface %s, and is not of the app %.80q", r.Instance.ID, is.Instance.Service, is.Source, q.name))
			return false
		}
		_, err = q.registered.Register(r)
	}
	if err != nil {
		code := http.StatusBadRequest
		if errors.Is(err, server.ErrLaunched) {
			code = http.StatusConflict
		}
		refuse(q.w, code, err.Error())
		return false
	}
	return true
}

// maintain takes an instance out of service, or back, and answers when that
// failed.
func (q *request) maintain(id string, on bool) bool {
	err := q.registered.Maintain(q.namespace, id, on, "out of service, by Eureka's interface")
	if err != nil {
		refuse(q.w, http.StatusBadRequest, err.Error())
	}
	return err == nil
}

// missing answers that the instance is not known: its client registers again.
func (q *request) missing() {
	refuse(q.w, http.StatusNotFound, fmt.Sprintf("there is no instance %.80q of the app %.80q; register it first", q.id, q.name))
}

// renew answers PUT /apps/{app}/{id}, a client's sign of life.
func (q *request) renew() {
	if !q.may(access.Register) {
		return
	}
	query := q.r.URL.Query()
	q.writing.Lock()
	defer q.writing.Unlock()
	i, found := q.kept(idOf(q.service, q.id))
	if !found {
		q.missing()
		return
	}
	if dirty, err := strconv.ParseInt(query.Get("lastDirtyTimestamp"), 10, 64); err == nil && stamp(dirty) > i.Dirty {
		q.missing() // it has changed since it registered
		return
	}
	if said, ok := parseStatus(query.Get("status")); ok && said != i.Status && said != unknown {
		// A client that was put out of service says so itself from then on.
		if said != i.effective() {
			i.Status = said
			if !q.put(i) {
				return
			}
		}
	}
	if err := q.registered.Renew(q.namespace, idOf(q.service, q.id), "", ""); err != nil {
		q.missing()
	}
}

// remove answers DELETE /apps/{app}/{id}.
func (q *request) remove() {
	if !q.may(access.Register) {
		return
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	if _, found := q.kept(idOf(q.service, q.id)); !found {
		q.missing()
		return
	}
	if err := q.registered.Deregister(q.namespace, idOf(q.service, q.id)); err != nil {
		q.missing()
	}
}

// override answers PUT /apps/{app}/{id}/status: an operator's word on an
// instance, until it is taken back.
func (q *request) override() {
	value, ok := parseStatus(q.r.URL.Query().Get("value"))
	if !ok {
		refuse(q.w, http.StatusBadRequest, fmt.Sprintf("the status %.40q is not known; expected value=UP, DOWN, STARTING, OUT_OF_SERVICE or UNKNOWN", q.r.URL.Query().Get("value")))
		return
	}
	q.overridden(value, "")
}

// restore answers DELETE /apps/{app}/{id}/status: the override is taken back, and
// the instance may be given another status.
func (q *request) restore() {
	value, _ := parseStatus(q.r.URL.Query().Get("value"))
	if value == unknown {
		value = ""
	}
	q.overridden("", value)
}

func (q *request) overridden(override, status status) {
	if !q.may(access.Register) {
		return
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	if i, found := q.kept(idOf(q.service, q.id)); found {
		i.Override, i.Status = override, cmp.Or(status, i.Status)
		if q.put(i) {
			q.maintain(idOf(q.service, q.id), i.maintained())
		}
		return
	}
	// An instance of a launcher, or of another interface.
	for _, r := range q.registered.Look(q.namespace, q.service).Instances {
		if r.ID != q.id {
			continue
		}
		if override != "" && override != up && override != outOfService {
			refuse(q.w, http.StatusBadRequest, fmt.Sprintf("the instance %.80q was not registered with Eureka's interface; it can be put OUT_OF_SERVICE or UP only", q.id))
			return
		}
		q.maintain(q.id, override == outOfService)
		return
	}
	q.missing()
}

// describe answers PUT /apps/{app}/{id}/metadata?key=value.
func (q *request) describe() {
	if !q.may(access.Register) {
		return
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	i, found := q.kept(idOf(q.service, q.id))
	if !found {
		q.missing()
		return
	}
	if i.Metadata == nil {
		i.Metadata = make(metadata)
	}
	for key, values := range q.r.URL.Query() {
		i.Metadata[key] = values[0]
	}
	if len(i.Metadata) > registry.MaxAttributes {
		refuse(q.w, http.StatusBadRequest, fmt.Sprintf("the metadata has %d keys; at most %d are allowed", len(i.Metadata), registry.MaxAttributes))
		return
	}
	q.put(i)
}
