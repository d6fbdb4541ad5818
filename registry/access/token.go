package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	// tokenPrefix begins every token, so that people and scanners for secrets
	// know one when they see it.
	tokenPrefix = "cleat_"
	// tokenSize is the number of random bytes in a token. Nobody guesses one of
	// 2^256, however fast guesses can be checked: that is why files may hold a
	// plain SHA-256 of it, which costs a request next to nothing. A slow hash is
	// for what people make up.
	tokenSize = 32
)

// tokenLength is the length of a token in bytes.
var tokenLength = len(tokenPrefix) + base64.RawURLEncoding.EncodedLen(tokenSize)

// NewToken returns a new token: cleat_ and 43 random characters.
func NewToken() string {
	random := make([]byte, tokenSize)
	_, _ = rand.Read(random) // never fails
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
}

// digest is the SHA-256 of a token: all that the server ever keeps of it.
type digest [sha256.Size]byte

// digestOf returns the digest of a token. Text of another form is none: a
// password that somebody made up, hashed into the file by hand, does not work.
func digestOf(token string) (d digest, ok bool) {
	random, found := strings.CutPrefix(token, tokenPrefix)
	if !found || len(token) != tokenLength {
		return digest{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(random); err != nil {
		return digest{}, false
	}
	return sha256.Sum256([]byte(token)), true
}

func (d digest) String() string { return hex.EncodeToString(d[:]) }
