package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cleat/registry"
)

// API asks servers over their native HTTP API: one question, one answer. The
// servers are asked in order until one answers. It keeps no connection open and
// is safe for concurrent use.
type API struct{ config Config }

// NewAPI returns an API of the servers in c.
func NewAPI(c Config) *API { return &API{config: c} }

// ProblemError is an answer with an error status.
type ProblemError struct {
	Server string // URL
	Status int    // of HTTP
	registry.Problem
}

func (e *ProblemError) Error() string {
	text := fmt.Sprintf("%s answered %d: %s", e.Server, e.Status, e.Problem.Error)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Services returns the services of a namespace.
func (a *API) Services(ctx context.Context, namespace string) (registry.ServiceList, error) {
	var list registry.ServiceList
	err := a.get(ctx, "/api/v1/services", url.Values{"namespace": {namespace}}, &list)
	return list, err
}

// Service returns the instances behind a filter, whatever their status, unless
// the server keeps those to itself.
func (a *API) Service(ctx context.Context, f registry.Filter) (registry.ServiceDetail, error) {
	var detail registry.ServiceDetail
	service, text, _ := strings.Cut(f.String(), "?")
	query, err := url.ParseQuery(text)
	if err != nil {
		return detail, err
	}
	query.Del("ns")
	query.Set("namespace", f.Namespace)
	err = a.get(ctx, "/api/v1/services/"+url.PathEscape(service), query, &detail)
	return detail, err
}

// Sessions returns the launchers that are connected to the server that answers.
func (a *API) Sessions(ctx context.Context) (registry.SessionList, error) {
	var list registry.SessionList
	err := a.get(ctx, "/api/v1/sessions", nil, &list)
	return list, err
}

// Graph returns who requires whom, in a namespace and around it; everywhere, if
// that is empty.
func (a *API) Graph(ctx context.Context, namespace string) (registry.Graph, error) {
	var g registry.Graph
	err := a.get(ctx, graphPath, inNamespace(namespace), &g)
	return g, err
}

// DrawnGraph returns the same as a document that the server makes: svg, a
// picture, or dot, for Graphviz.
func (a *API) DrawnGraph(ctx context.Context, namespace, format string) ([]byte, error) {
	query := inNamespace(namespace)
	query.Set("format", format)
	var text []byte
	err := a.get(ctx, graphPath, query, &text)
	return text, err
}

const graphPath = "/api/v1/graph"

func inNamespace(namespace string) url.Values {
	if namespace == "" {
		return url.Values{}
	}
	return url.Values{"namespace": {namespace}}
}

// get asks one server after the other; an answer that the question is wrong is
// an answer, one that the server cannot (5xx) is not the last. What answer
// points to is JSON, or the bytes themselves.
func (a *API) get(ctx context.Context, path string, query url.Values, answer any) error {
	if len(a.config.Servers) == 0 {
		return errors.New("there is no server to ask")
	}
	secure, err := a.config.tls()
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: a.config.Dial, TLSClientConfig: secure, DisableKeepAlives: true}
	client := &http.Client{
		Transport: transport,
		Timeout:   registry.ReconnectCap,
		// A token is meant for this server and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var errs []error
	for _, text := range a.config.Servers {
		server, err := parseServer(text)
		if err != nil {
			return err
		}
		target := at(server, path)
		target.RawQuery = query.Encode()
		err = a.ask(ctx, client, server.String(), target, answer)
		if problem, ok := errors.AsType[*ProblemError](err); err == nil || ok && problem.Status < http.StatusInternalServerError {
			return err
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (a *API) ask(ctx context.Context, client *http.Client, server string, target *url.URL, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json, */*;q=0.5")
	if a.config.Token != nil {
		if token := a.config.Token(); token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
	}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		if uerr, ok := errors.AsType[*url.Error](err); ok && uerr.Timeout() {
			return fmt.Errorf("%s has not answered for %v", server, time.Since(began).Round(time.Millisecond))
		} else if ok {
			err = uerr.Err // without the whole URL, which says nothing to people
		}
		return fmt.Errorf("%s cannot be asked: %w", server, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, registry.MaxServerMessage+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer of %s broke off: %w", server, err)
	case len(body) > registry.MaxServerMessage:
		return fmt.Errorf("the answer of %s is longer than %d bytes", server, registry.MaxServerMessage)
	}
	if response.StatusCode != http.StatusOK {
		problem := &ProblemError{Server: server, Status: response.StatusCode}
		if json.Unmarshal(body, &problem.Problem) != nil || problem.Problem.Error == "" {
			problem.Problem = registry.Problem{Error: http.StatusText(response.StatusCode), Hint: "is it a cleatd?"}
		}
		problem.Problem.Error, problem.Hint = registry.Cut(problem.Problem.Error), registry.Cut(problem.Hint)
		return problem
	}
	if text, ok := answer.(*[]byte); ok {
		*text = body
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer of %s is not JSON of the expected form: %w; is it a cleatd?", server, err)
	}
	return nil
}
