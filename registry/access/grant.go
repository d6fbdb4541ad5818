package access

import (
	"context"
	"reflect"
	"slices"

	"cleat/registry"
)

// Grant is what a request may do. It never changes; the zero value allows
// nothing. It is safe for concurrent use, and cheap to copy.
type Grant struct{ holder *holder }

// holder is somebody who may do something: a token, a certificate, or everybody.
type holder struct {
	name        string // empty: who shows nothing
	token       digest
	certificate string // in place of a token
	rules       []rule
}

// everybody holds all that there is, where nobody is asked for a token.
var everybody = &holder{rules: []rule{{Admin, []glob{everything}, []glob{everything}}}}

// Everything is the grant of a server without tokens: on loopback, or open.
func Everything() Grant { return Grant{everybody} }

// Allows reports whether the grant includes the role for a service in a
// namespace. An empty service stands for all services of the namespace, an empty
// namespace for all namespaces: Allows(Admin, "", "") is for what concerns the
// whole server.
func (g Grant) Allows(role Role, namespace, service string) bool {
	if g.holder == nil || role == None {
		return false
	}
	for _, r := range g.holder.rules {
		if r.role >= role && covers(r.namespaces, namespace) && covers(r.services, service) {
			return true
		}
	}
	return false
}

// Any reports whether the grant includes the role for any service of the
// namespace at all, even one that does not exist yet; of any namespace, if that
// is empty.
func (g Grant) Any(role Role, namespace string) bool {
	if g.holder == nil || role == None {
		return false
	}
	for _, r := range g.holder.rules {
		if r.role >= role && (namespace == "" || covers(r.namespaces, namespace)) {
			return true
		}
	}
	return false
}

// AnyBelow reports whether the grant includes the role for any service of a
// namespace below this one, even one that does not exist yet.
func (g Grant) AnyBelow(role Role, namespace string) bool {
	if g.holder == nil || role == None {
		return false
	}
	for _, r := range g.holder.rules {
		if r.role >= role && slices.ContainsFunc(r.namespaces, func(p glob) bool { return p.below(namespace + "/") }) {
			return true
		}
	}
	return false
}

// Equal reports whether two grants are of the same token and allow the same.
func (g Grant) Equal(other Grant) bool {
	return g.holder == other.holder || g.holder != nil && other.holder != nil && reflect.DeepEqual(*g.holder, *other.holder)
}

// Namespace is the one that is meant where a request cannot name one, as in
// Consul's and Eureka's interfaces: the only one that the grant is for, and
// otherwise [registry.DefaultNamespace].
func (g Grant) Namespace() string {
	if g.holder == nil || len(g.holder.rules) == 0 {
		return registry.DefaultNamespace
	}
	own := g.holder.rules[0].namespaces[0]
	for _, r := range g.holder.rules {
		if len(r.namespaces) != 1 || r.namespaces[0] != own || !own.literal() {
			return registry.DefaultNamespace
		}
	}
	return string(own)
}

// Name is that of the token, for logs and pages; empty when the request came
// without one. It is no secret.
func (g Grant) Name() string {
	if g.holder == nil {
		return ""
	}
	return g.holder.name
}

// contextKey is that of the grant in a context.
type contextKey struct{}

// With returns a context that carries the grant.
func With(ctx context.Context, g Grant) context.Context {
	return context.WithValue(ctx, contextKey{}, g)
}

// Of returns the grant that the context of a request carries. Without one,
// nothing is allowed.
func Of(ctx context.Context) Grant {
	g, _ := ctx.Value(contextKey{}).(Grant)
	return g
}
