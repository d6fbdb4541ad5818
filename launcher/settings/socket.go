package settings

import "strconv"

const (
	// NoSocket is the CLEAT_SOCKET of a launcher that cannot be asked.
	NoSocket = "none"
	// maxSocket is the length in bytes of a unix socket's path; the kernel sets
	// it.
	maxSocket = 107
)

func parseSocket(p *parser, text string) *Error {
	if text == NoSocket {
		p.s.Socket = NoSocket
		return nil
	}
	if bad := path(func(p *parser) *string { return &p.s.Socket })(p, text); bad != nil {
		bad.Expected = "an absolute path, or none"
		return bad
	}
	if len(text) > maxSocket {
		p.s.Socket = ""
		return wrong("the path is too long for a socket", "at most "+strconv.Itoa(maxSocket)+" bytes", "")
	}
	return nil
}
