package dashboard

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// instanceBody is the body of an instance's page.
type instanceBody struct {
	server.Story
	Namespace string
	ID        string
	Service   string
	Addr      string
	Health    string
	Admin     bool
}

func (d *dashboard) showInstance(w http.ResponseWriter, r *http.Request) {
	namespace := cmp.Or(strings.ToLower(r.URL.Query().Get("namespace")), registry.DefaultNamespace)
	id := r.PathValue("id")
	story, found := d.server.Instance(namespace, id)
	b := instanceBody{Story: story, Namespace: namespace, ID: id, Service: story.Instance.Service, Health: "missing"}
	if found && !story.Present {
		b.Service = story.Events[len(story.Events)-1].Service
	}
	grant := access.Of(r.Context())
	if !found || !grant.Allows(access.Read, namespace, b.Service) {
		d.problem(w, r, http.StatusNotFound, "there is no instance of that id that you may see", "one that went long ago is forgotten")
		return
	}
	slices.Reverse(b.Events) // the latest first
	if b.Present {
		b.Health = string(b.Actual)
		b.Addr = b.Instance.Endpoint().Addr()
	}
	b.Users = slices.DeleteFunc(b.Users, func(u server.User) bool { return !grant.Allows(access.Read, u.Namespace, "") })
	b.Admin = grant.Allows(access.Admin, namespace, b.Service)
	p := d.newPage(r, id, "services", d.graph(r))
	p.Namespace = namespace
	p.Said = saidOf[r.URL.Query().Get("said")]
	p.Body = b
	d.show(w, http.StatusOK, "instance", p)
}

// saidOf is what was done just now, by the action.
var saidOf = map[string]string{
	"maintenance": "The instance is in maintenance: nobody finds it until you end that.",
	"service":     "The maintenance is over.",
	"drain":       "The instance is asked to drain: nobody finds it until you end that.",
	"undrain":     "The drain is over.",
}

// maxForm is the size of an action's form in bytes.
const maxForm = 8 << 10

// act answers POST /instances/{id}: what an operator wants of an instance.
func (d *dashboard) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		d.problem(w, r, http.StatusBadRequest, "the form cannot be read: "+err.Error(), "")
		return
	}
	id, action := r.PathValue("id"), r.PostForm.Get("do")
	namespace := cmp.Or(strings.ToLower(r.PostForm.Get("namespace")), registry.DefaultNamespace)
	story, found := d.server.Instance(namespace, id)
	grant := access.Of(r.Context())
	switch {
	case !found || !story.Present || !grant.Allows(access.Read, namespace, story.Instance.Service):
		d.problem(w, r, http.StatusNotFound, "there is no instance of that id that you may see", "it may have gone just now")
		return
	case !grant.Allows(access.Admin, namespace, story.Instance.Service):
		d.problem(w, r, http.StatusForbidden, "this takes the admin role for the service "+story.Instance.Service, "log in with another token")
		return
	}
	var err error
	switch action {
	case "maintenance":
		err = d.server.Maintain(namespace, id, true, strings.TrimSpace(r.PostForm.Get("reason")))
	case "service":
		err = d.server.Maintain(namespace, id, false, "")
	case "drain":
		err = d.server.Drain(namespace, id)
	case "undrain":
		err = d.server.Undrain(namespace, id)
	default:
		d.problem(w, r, http.StatusBadRequest, "there is no such action", "expected maintenance, service, drain or undrain")
		return
	}
	switch {
	case errors.Is(err, server.ErrNotFound):
		d.problem(w, r, http.StatusNotFound, err.Error(), "it may have gone just now")
	case err != nil:
		d.problem(w, r, http.StatusConflict, err.Error(), "")
	default:
		target := "/instances/" + url.PathEscape(id) + "?" + url.Values{"namespace": {namespace}, "said": {action}}.Encode()
		http.Redirect(w, r, target, http.StatusSeeOther)
	}
}
