package consul

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-bexpr"

	"cleat/registry"
	"cleat/registry/access"
)

// How long a blocking query waits. These are Consul's own numbers.
const (
	// defaultWait is used when a request names an index and no wait.
	defaultWait = 5 * time.Minute
	// maxWait is the longest wait; longer ones are cut.
	maxWait = 10 * time.Minute
	// jitterPart is the part of the wait that is added at most, at random, so
	// that those who began to wait together do not come back together.
	jitterPart = 16
)

// maxExpressions bounds the work of parsing a filter: the grammar backtracks.
const maxExpressions = 100_000

// query is what the parameters of a request say. Those that Consul has and that
// mean nothing here (near, cached, max_stale, merge-central-config, ...) are
// ignored, as are unknown ones: that is what Consul does.
type query struct {
	namespace   string
	grant       access.Grant
	index       uint64        // 0: answer at once
	hash        string        // likewise, of agent/service/<id>
	wait        time.Duration // at most maxWait
	passing     bool
	tags        []string // lower case; all must be there
	filter      *bexpr.Evaluator
	nodeMeta    map[string]string // all must be there
	consistency string
	pretty      bool
}

// refusal is an answer that is no 200. Its text goes to the client as it is.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// parseQuery reads the parameters that all lists share.
func (f *face) parseQuery(r *http.Request) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, refuse(http.StatusBadRequest, "the query cannot be read: %v", err)
	}
	q := query{grant: access.Of(r.Context()), hash: values.Get("hash"), wait: defaultWait, pretty: values.Has("pretty")}
	if q.namespace, err = namespaceOf(values, r.Header, q.grant); err != nil {
		return query{}, err
	}
	if dc := values.Get("dc"); dc != "" && dc != f.config.Datacenter {
		return query{}, refuse(http.StatusInternalServerError, "No path to datacenter %.80q; there is only %q", dc, f.config.Datacenter)
	}
	if index := values.Get("index"); index != "" {
		if q.index, err = strconv.ParseUint(index, 10, 64); err != nil {
			return query{}, refuse(http.StatusBadRequest, "Invalid index %.80q; expected the number in an earlier answer's X-Consul-Index", index)
		}
	}
	if wait := values.Get("wait"); wait != "" {
		if q.wait, err = time.ParseDuration(wait); err != nil || q.wait < 0 {
			return query{}, refuse(http.StatusBadRequest, "Invalid wait time %.80q; expected a duration such as 60s", wait)
		}
		if q.wait == 0 {
			q.wait = defaultWait
		}
		q.wait = min(q.wait, maxWait)
	}
	if values.Has("passing") {
		if q.passing, err = flagOf(values.Get("passing")); err != nil {
			return query{}, refuse(http.StatusBadRequest, "Invalid value for ?passing: %.80q; expected nothing, true, false, 1 or 0", values.Get("passing"))
		}
	}
	for _, tag := range values["tag"] {
		q.tags = append(q.tags, strings.ToLower(tag))
	}
	if q.nodeMeta, err = parseNodeMeta(values["node-meta"]); err != nil {
		return query{}, err
	}
	if q.filter, err = parseFilter(values.Get("filter")); err != nil {
		return query{}, err
	}
	switch {
	case values.Has("stale") && values.Has("consistent"):
		return query{}, refuse(http.StatusBadRequest, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	case values.Has("stale"):
		q.consistency = "stale"
	case values.Has("consistent"):
		q.consistency = "consistent"
	default:
		q.consistency = "leader"
	}
	return q, nil
}

// namespaceOf returns the namespace that a request is about: the one that it
// names as clients of Consul's enterprise version do, else its token's.
func namespaceOf(values url.Values, header http.Header, grant access.Grant) (string, error) {
	named := values.Get("ns")
	if named == "" {
		named = header.Get("X-Consul-Namespace")
	}
	if named == "" {
		return grant.Namespace(), nil
	}
	namespace := strings.ToLower(named)
	if err := registry.CheckNamespace(namespace); err != nil {
		return "", refuse(http.StatusBadRequest, "%v", err)
	}
	return namespace, nil
}

// flagOf reads a parameter that is on when it is there without a value.
func flagOf(value string) (bool, error) {
	if value == "" {
		return true, nil
	}
	return strconv.ParseBool(value)
}

func parseNodeMeta(pairs []string) (map[string]string, error) {
	meta := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, ":")
		if key == "" {
			return nil, refuse(http.StatusBadRequest, "Invalid node-meta %.80q; expected key:value", pair)
		}
		meta[key] = value
	}
	return meta, nil
}

// parseFilter reads an expression of Consul's language for filters, such as
//
//	"prod" in Service.Tags and Service.Meta.version matches "^2[.]"
//
// It returns nil for an empty one.
func parseFilter(text string) (*bexpr.Evaluator, error) {
	if text == "" {
		return nil, nil
	}
	filter, err := bexpr.CreateEvaluator(text, bexpr.WithMaxExpressions(maxExpressions))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "Failed to create boolean expression evaluator for %.80q: %v", text, err)
	}
	return filter, nil
}

// plain reports whether the answer is the same for everybody who asks for it.
func (q query) plain() bool {
	return q.filter == nil && len(q.tags) == 0 && len(q.nodeMeta) == 0
}

// selects reports whether the filter lets an element of a list pass.
func (q query) selects(element any) (bool, error) {
	if q.filter == nil {
		return true, nil
	}
	ok, err := q.filter.Evaluate(element)
	if err != nil {
		return false, refuse(http.StatusBadRequest, "the filter %.80q cannot be used here: %v", q.filter.Expression(), err)
	}
	return ok, nil
}

// matches reports whether an instance has the tags and the node's metadata that
// are asked for, and passes if it must.
func (q query) matches(i *instance) bool {
	for _, want := range q.tags {
		if !slices.ContainsFunc(i.Service.Tags, func(tag string) bool { return strings.ToLower(tag) == want }) {
			return false
		}
	}
	for key, value := range q.nodeMeta {
		if have, found := i.Node.Meta[key]; !found || have != value {
			return false
		}
	}
	return !q.passing || i.passing()
}

// reads reports whether the asker may know of a service.
func (q query) reads(service string) bool {
	return q.grant.Allows(access.Read, q.namespace, service)
}

// asRefusal returns err as an answer.
func asRefusal(err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	return refusal{http.StatusInternalServerError, err.Error()}
}
