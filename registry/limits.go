package registry

import "time"

// Limits on what one session may say. They bound the server's memory, and are
// far above what a container needs.
const (
	// MaxClientMessage is the size in bytes of the largest message that a
	// server accepts from a launcher.
	MaxClientMessage = 1 << 20
	// MaxServerMessage is the size in bytes of the largest message that a
	// launcher accepts from a server: a complete view of some 50,000 endpoints.
	MaxServerMessage = 16 << 20
	// MaxProvides is the number of instances that one session may provide.
	MaxProvides = 256
	// MaxRequires is the number of views that one session may require.
	MaxRequires = 256
	// MaxTags is the number of tags of an instance or a filter.
	MaxTags = 64
	// MaxTagLength is the length of a tag in bytes.
	MaxTagLength = 255
	// MaxAttributes is the number of attributes of an instance or a filter.
	MaxAttributes = 64
	// MaxAttributeKey is the length of an attribute's name in bytes.
	MaxAttributeKey = 63
	// MaxAttributeValue is the length of an attribute's value in bytes.
	MaxAttributeValue = 1024
	// MaxNameLength is the length of a service's name, of a zone, and of one
	// part of a namespace, in bytes: what fits into a DNS label.
	MaxNameLength = 63
	// MaxNamespaceParts is the number of parts that a namespace may have
	// (dev/alice has two).
	MaxNamespaceParts = 4
	// MaxIDLength is the length of an instance's or a launcher's id in bytes.
	MaxIDLength = 255
	// MinKey and MaxKey are the lengths in bytes that a launcher's key may have.
	MinKey = 16
	MaxKey = 128
	// MaxReasonLength is the length in bytes of a status's reason and of an
	// error's text on the wire; longer ones are cut.
	MaxReasonLength = 512
	// MaxPatternLength is the length in bytes of a regular expression in a
	// filter.
	MaxPatternLength = 256
	// MaxPatternSize is how many instructions all regular expressions of one
	// filter may have together once they are compiled: a short text can ask
	// for much memory (".{1000}" has 1,000 of them, some 80 bytes each).
	MaxPatternSize = 1024
	// MaxElements is how many values the lists and objects of one message from
	// a launcher may hold together: more than every other limit allows, and
	// few enough that a message of "[0,0,0,..." costs little to refuse.
	MaxElements = 1 << 16
)

// ReconnectCap is the longest that a launcher waits between the end of one
// attempt to connect and the next; an attempt itself lasts at most as long.
// Servers reason with it: who is not back after the cap plus a second was not
// merely disconnected.
const ReconnectCap = 5 * time.Second
