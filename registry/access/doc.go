// Package access says who may come in, and who may do what.
//
// Whoever asks the server for something holds a [Grant]. The server's guard
// finds it by the token that the request carries, and puts it into the request's
// context; every handler asks:
//
//	if !access.Of(r.Context()).Allows(access.Register, namespace, service) { ...
//
// Lists are not refused: they have in them what the grant allows to read.
//
// [Tokens] are those in a file, which is watched; the file has their hashes. A
// [Line] of it is one thing that somebody may do. [Certificates] are the
// server's side of TLS, watched in the same way. What cannot be used after a
// change changes nothing: nobody is locked out, nor let in, by half a file.
//
// # What it is not
//
// It knows no request and no protocol: where a token is found, and how somebody
// is refused, is the business of who asks. It makes no tokens for browsers: those
// who log in have one, and the server's guard remembers that.
//
// A server without tokens, which is one for a single machine or one that was told
// to be open, gives [Everything] to everybody. A context without a grant allows
// nothing: a handler that the guard does not protect serves nobody.
package access
