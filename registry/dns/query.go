package dns

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// The sizes of a message's parts.
const (
	headerSize = 12      // id, flags, four counts
	maxName    = 255     // a name on the wire, with its end
	maxLabels  = 127     // of a name: each takes two bytes at least
	fixedSize  = 10      // type, class, TTL and length of a record
	optSize    = 1 + 10  // an OPT record without options
	pointer    = 2       // a pointer to an earlier name
	pointerBit = 0xc0    // marks one
	maxPointer = 1 << 14 // what it can point to
)

// The bits of a header's flags.
const (
	flagResponse      = 1 << 15
	flagAuthoritative = 1 << 10
	flagTruncated     = 1 << 9
	flagWanted        = 1 << 8 // recursion desired
	flagAvailable     = 1 << 7 // recursion available
	flagCheckDisabled = 1 << 4
	opcodeShift       = 11
	opcodeMask        = 0xf
	rcodeMask         = 0xf
)

// maxExtra is the number of records that a query may carry beside its question:
// an OPT, a signature, and one or two more.
const maxExtra = 4

// query is a packet that has been read. It belongs to one goroutine, which uses
// it for one packet after the other.
type query struct {
	packet []byte
	id     uint16
	flags  uint16
	end    int // of the question; 0: there is none that could be repeated

	name   [maxName]byte // as on the wire, in lower case
	length int
	at     [maxLabels + 1]uint8 // where each label begins, and the end
	labels int

	kind  uint16 // the type
	class uint16

	edns     bool
	version  uint8
	size     int // of the largest UDP answer that the client takes
	security bool
}

// noAnswer is what a packet deserves that is no query.
const noAnswer = -1

// parse reads a packet. It returns the response code that is due: success, or
// what is wrong with it; or noAnswer.
func (q *query) parse(packet []byte) int {
	q.packet, q.end, q.labels, q.length = packet, 0, 0, 0
	q.edns, q.version, q.security, q.size = false, 0, false, dns.MinMsgSize
	if len(packet) < headerSize {
		return noAnswer
	}
	q.id = binary.BigEndian.Uint16(packet)
	q.flags = binary.BigEndian.Uint16(packet[2:])
	if q.flags&flagResponse != 0 {
		return noAnswer
	}
	if q.flags>>opcodeShift&opcodeMask != dns.OpcodeQuery {
		return dns.RcodeNotImplemented
	}
	if binary.BigEndian.Uint16(packet[4:]) != 1 {
		return dns.RcodeFormatError
	}
	at := q.parseName(headerSize)
	if at == 0 || at+4 > len(packet) {
		return dns.RcodeFormatError
	}
	q.kind = binary.BigEndian.Uint16(packet[at:])
	q.class = binary.BigEndian.Uint16(packet[at+2:])
	q.end = at + 4
	return q.parseExtra(q.end)
}

// parseName reads the name of the question, lowers it, and notes its labels. It
// returns where the name ends, or 0 when it is none. A pointer has nothing to
// point to there.
func (q *query) parseName(at int) int {
	for {
		if at >= len(q.packet) || q.length >= maxName {
			return 0
		}
		size := int(q.packet[at])
		if size > 63 || at+1+size > len(q.packet) || q.length+1+size >= maxName && size > 0 {
			return 0
		}
		q.at[q.labels] = uint8(q.length)
		q.name[q.length] = byte(size)
		q.length++
		if size == 0 {
			return at + 1
		}
		for _, c := range q.packet[at+1 : at+1+size] {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			q.name[q.length] = c
			q.length++
		}
		q.labels++
		at += 1 + size
	}
}

// parseExtra reads what follows the question, of which only an OPT matters.
func (q *query) parseExtra(at int) int {
	answers := int(binary.BigEndian.Uint16(q.packet[6:]))
	authorities := int(binary.BigEndian.Uint16(q.packet[8:]))
	others := int(binary.BigEndian.Uint16(q.packet[10:]))
	if answers+authorities+others > maxExtra {
		return dns.RcodeFormatError
	}
	for n := range answers + authorities + others {
		root := at < len(q.packet) && q.packet[at] == 0
		if at = skipName(q.packet, at); at == 0 || at+fixedSize > len(q.packet) {
			return dns.RcodeFormatError
		}
		record := q.packet[at:]
		at += fixedSize + int(binary.BigEndian.Uint16(record[8:]))
		if at > len(q.packet) {
			return dns.RcodeFormatError
		}
		if binary.BigEndian.Uint16(record) != dns.TypeOPT {
			continue
		}
		if q.edns || !root || n < answers+authorities {
			return dns.RcodeFormatError
		}
		q.edns = true
		q.size = max(int(binary.BigEndian.Uint16(record[2:])), dns.MinMsgSize)
		q.version = record[5]
		q.security = record[6]&0x80 != 0
	}
	if q.version > 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// skipName returns where the name ends that begins here, or 0 when it does not.
func skipName(packet []byte, at int) int {
	for at < len(packet) {
		switch size := int(packet[at]); {
		case size == 0:
			return at + 1
		case size >= pointerBit:
			return at + pointer
		case size > 63:
			return 0
		default:
			at += 1 + size
		}
	}
	return 0
}

// label returns a label of the name, counted from the left.
func (q *query) label(n int) []byte {
	return q.name[int(q.at[n])+1 : q.at[n+1]]
}
