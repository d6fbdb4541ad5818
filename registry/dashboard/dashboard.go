package dashboard

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/graph"
	"cleat/registry/server"
)

// Config is what a dashboard is told.
type Config struct {
	Name    string // of the server; empty: cleatd
	Version string // of the program, for people; may be empty
}

// dashboard is the handler of all pages.
type dashboard struct {
	config  Config
	server  *server.Server
	mux     *http.ServeMux
	streams atomic.Int64

	mu   sync.Mutex // guards what follows
	made registry.Graph
	till time.Time // how long made is good
}

// New returns the dashboard of a server, to be mounted at "/". It is safe for
// concurrent use.
func New(s *server.Server, config Config) http.Handler {
	config.Name = cmp.Or(config.Name, "cleatd")
	d := &dashboard{config: config, server: s, mux: http.NewServeMux()}
	d.mux.HandleFunc("GET /{$}", d.showServices)
	d.mux.HandleFunc("GET /services/{name}", d.showService)
	d.mux.HandleFunc("GET /instances/{id}", d.showInstance)
	d.mux.HandleFunc("POST /instances/{id}", d.act)
	d.mux.HandleFunc("GET /sessions", d.showSessions)
	d.mux.HandleFunc("GET /events", d.showEvents)
	d.mux.HandleFunc("GET /map", d.showMap)
	d.mux.HandleFunc("GET /live", d.live)
	d.mux.HandleFunc("GET /assets/{file}", serveAsset)
	d.mux.HandleFunc("/", d.notFound)
	return d
}

// policy is the Content-Security-Policy of every page: everything is this
// server's own, and nothing is inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	d.mux.ServeHTTP(w, r)
}

//go:embed templates
var templateFiles embed.FS

// templates are parsed once; each page is the layout with a body of its own.
var templates = sync.OnceValue(func() map[string]*template.Template {
	layout := template.Must(template.New("layout").Funcs(words).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	pages := make(map[string]*template.Template)
	for _, name := range []string{"services", "service", "instance", "sessions", "events", "map", "problem"} {
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return pages
})

// page is what every page is made from.
type page struct {
	Title      string
	Active     string // the entry of the menu
	Server     string
	Version    string
	Namespace  string   // that is looked at; empty: all
	Namespaces []string // that there are
	Several    bool     // more than one is looked at
	Query      string   // that lists are searched for
	User       string   // the token's name; empty: none was asked for
	Admin      bool     // somewhere
	Warming    bool
	Preserving bool
	Said       string // what was done just now
	Body       any
}

// newPage begins the page that a request asks for.
func (d *dashboard) newPage(r *http.Request, title, active string, g registry.Graph) page {
	query := r.URL.Query()
	grant := access.Of(r.Context())
	p := page{
		Title: title, Active: active, Server: d.config.Name, Version: d.config.Version,
		Namespace: strings.ToLower(query.Get("namespace")), Query: strings.TrimSpace(query.Get("q")),
		User: grant.Name(), Admin: grant.Any(access.Admin, ""),
	}
	stats := d.server.Stats()
	p.Warming, p.Preserving = stats.Warming, stats.Preserving
	for _, n := range g.Nodes {
		p.Namespaces = append(p.Namespaces, n.Namespace)
	}
	slices.Sort(p.Namespaces)
	p.Namespaces = slices.Compact(p.Namespaces)
	if p.Namespace != "" && !slices.Contains(p.Namespaces, p.Namespace) {
		p.Namespaces = append(p.Namespaces, p.Namespace)
	}
	p.Several = p.Namespace == "" && len(p.Namespaces) > 1
	return p
}

// Link returns a path of the dashboard, with the namespace that is looked at.
func (p page) Link(path string) string { return withQuery(path, "namespace", p.Namespace) }

// Here is the page itself, with another value of one parameter.
func withQuery(path, name, value string) string {
	if value == "" {
		return path
	}
	return path + "?" + url.Values{name: {value}}.Encode()
}

// show answers with a page.
func (d *dashboard) show(w http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := templates()[name].ExecuteTemplate(&b, "layout", p); err != nil {
		panic("dashboard: internal error: the page " + name + " cannot be made: " + err.Error())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that is gone needs no page
}

// trouble is the body of the page that says that something cannot be.
type trouble struct{ Message, Hint string }

func (d *dashboard) problem(w http.ResponseWriter, r *http.Request, status int, message, hint string) {
	if strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		body, _ := json.Marshal(registry.Problem{Error: message, Hint: hint}) // two strings
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
		return
	}
	p := d.newPage(r, http.StatusText(status), "", d.graph(r))
	p.Body = trouble{message, hint}
	d.show(w, status, "problem", p)
}

func (d *dashboard) notFound(w http.ResponseWriter, r *http.Request) {
	d.problem(w, r, http.StatusNotFound, "there is nothing at this path", "the pages are /, /map, /sessions and /events; the API is below /api/v1/")
}

// graphShare is how many times as long as it took to make a graph is used, so
// that however many look at it, the server spends at most a twentieth of a core
// on it.
const graphShare = 20

// graph returns the part of the graph that the request may see.
func (d *dashboard) graph(r *http.Request) registry.Graph {
	d.mu.Lock()
	if began := time.Now(); began.After(d.till) {
		d.made = d.server.Graph()
		now := time.Now()
		d.till = now.Add(graphShare * now.Sub(began))
	}
	g := d.made
	d.mu.Unlock()
	grant := access.Of(r.Context())
	if grant.Allows(access.Read, "", "") {
		return g
	}
	return graph.Restrict(g, func(namespace, service string) bool { return grant.Allows(access.Read, namespace, service) })
}
