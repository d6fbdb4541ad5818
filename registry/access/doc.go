// Package access says who may do what.
//
// Whoever asks the server for something holds a [Grant]. The server's guard
// finds it by the token that the request carries, and puts it into the request's
// context; every handler asks:
//
//	if !access.Of(r.Context()).Allows(access.Register, namespace, service) { ...
//
// Lists are not refused: they have in them what the grant allows to read.
//
// A server without tokens, which is one for a single machine or one that was told
// to be open, gives [Everything] to everybody. A context without a grant allows
// nothing: a handler that the guard does not protect serves nobody.
package access
