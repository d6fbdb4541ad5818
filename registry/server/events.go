package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cleat/registry"
	"cleat/registry/access"
)

// maxStreams is how many streams of the native interface there may be: each has
// a connection and a goroutine.
const maxStreams = 1024

// The events of streams that are no events of the journal.
const (
	missedEvent = "missed" // something that the client has not seen is forgotten
	viewEvent   = "view"   // a service, whole
)

// streamEvents answers GET /api/v1/events: what happens, or with ?service=, what a
// service is from now on.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request) {
	query, ok := parameters(w, r, "service", "namespace", "ns", "tag", "zone", "attr.*")
	if !ok {
		return
	}
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, fmt.Sprintf("there are %d streams already", maxStreams), "")
		return
	}
	defer s.streams.Add(-1)
	if query.Has("service") {
		if filter, ok := filterOf(w, r, query.Get("service"), query); ok {
			s.streamService(w, r, filter)
		}
		return
	}
	for name := range query {
		if name != "namespace" && name != "ns" {
			problem(w, http.StatusBadRequest, fmt.Sprintf("the parameter %q is for the view of a service", name), "add service=")
			return
		}
	}
	namespace := ""
	if len(query) > 0 {
		if namespace, ok = namespaceOf(w, query); !ok {
			return
		}
	}
	var after registry.Revision
	resumes := r.Header.Get("Last-Event-ID")
	if resumes == "" {
		s.inspect(func(c *core) { after = c.journal.base + registry.Revision(c.journal.count) })
	} else if n, err := strconv.ParseUint(resumes, 10, 64); err == nil {
		after = registry.Revision(n)
	}
	stream, err := NewStream(w)
	if err != nil {
		return // nobody is there any more
	}
	grant := access.Of(r.Context())
	for {
		events, complete, more := s.Events(after)
		if resumes != "" && !complete {
			if stream.Send("", missedEvent, []byte(`{}`)) != nil {
				return
			}
		}
		resumes = ""
		for _, e := range events {
			after = e.Revision
			if namespace != "" && e.Namespace != namespace || !grant.Allows(access.Read, e.Namespace, e.Service) {
				continue
			}
			if sendJSON(stream, e.Revision, string(e.Kind), e.public()) != nil {
				return
			}
		}
		if !await(r.Context(), stream, more) {
			return
		}
	}
}

// streamService sends a service whole, and again whenever it has changed.
func (s *Server) streamService(w http.ResponseWriter, r *http.Request, filter registry.Filter) {
	seen := r.Header.Get("Last-Event-ID")
	stream, err := NewStream(w)
	if err != nil {
		return
	}
	for last := registry.Revision(0); ; {
		listing := s.Lookup([]byte(filter.Namespace), []byte(filter.Service))
		detail := s.detail(filter, listing)
		if fresh := strconv.FormatUint(uint64(detail.Revision), 10); fresh != seen && detail.Revision != last {
			if sendJSON(stream, detail.Revision, viewEvent, detail) != nil {
				return
			}
		}
		last, seen = detail.Revision, ""
		if !await(r.Context(), stream, listing.Changed()) {
			return
		}
	}
}

// await waits for news, and keeps the stream alive meanwhile. It reports false
// when the stream is over.
func await(ctx context.Context, stream *Stream, news <-chan struct{}) bool {
	beat := time.NewTicker(StreamBeat)
	defer beat.Stop()
	for {
		select {
		case <-news:
			return true
		case <-ctx.Done():
			return false
		case <-beat.C:
			if stream.Beat() != nil {
				return false
			}
		}
	}
}

func sendJSON(stream *Stream, id registry.Revision, event string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		panic("server: internal error: an event cannot be encoded: " + err.Error())
	}
	return stream.Send(strconv.FormatUint(uint64(id), 10), event, data)
}

// listTargets answers GET /api/v1/prometheus: all instances as targets of
// Prometheus' http_sd. While it is not known who is missing, Prometheus is to
// keep the list that it has.
func (s *Server) listTargets(w http.ResponseWriter, r *http.Request) {
	query, ok := parameters(w, r, "namespace", "ns", "service")
	if !ok {
		return
	}
	if s.Warming() {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "the server has just started, and does not know everything yet", "try again in some seconds")
		return
	}
	namespace := "" // all
	if query.Has("namespace") || query.Has("ns") {
		if namespace, ok = namespaceOf(w, query); !ok {
			return
		}
	}
	grant := access.Of(r.Context())
	groups := []registry.TargetGroup{}
	for _, summary := range s.Catalog(namespace).Services {
		if wanted := query["service"]; len(wanted) > 0 && !slices.Contains(wanted, summary.Service) || !grant.Allows(access.Read, summary.Namespace, summary.Service) {
			continue
		}
		instances := slices.Clone(s.Look(summary.Namespace, summary.Service).Instances)
		slices.SortFunc(instances, func(a, b registry.Instance) int { return a.Endpoint().Compare(b.Endpoint()) })
		for _, i := range instances {
			if i.Protocol == registry.TCP {
				groups = append(groups, registry.TargetGroup{Targets: []string{i.Endpoint().Addr()}, Labels: labels(i)})
			}
		}
	}
	answerJSON(w, http.StatusOK, groups)
}

// labels are what Prometheus may relabel by.
func labels(i registry.Instance) map[string]string {
	const meta = "__meta_cleat_"
	m := map[string]string{
		meta + "namespace": i.Namespace, meta + "service": i.Service, meta + "id": i.ID, meta + "status": string(i.Status), meta + "zone": i.Zone, meta + "tags": "",
	}
	if len(i.Tags) > 0 { // with commas around each, so that one can be matched
		m[meta+"tags"] = "," + strings.Join(i.Tags, ",") + ","
	}
	for key, value := range i.Attributes {
		m[meta+"attribute_"+strings.NewReplacer("-", "_", ".", "_").Replace(key)] = value
	}
	return m
}
