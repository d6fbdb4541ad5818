package eureka

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// status is an instance's as Eureka has it.
type status string

const (
	up           status = "UP"
	down         status = "DOWN"
	starting     status = "STARTING"
	outOfService status = "OUT_OF_SERVICE"
	unknown      status = "UNKNOWN"
)

// parseStatus returns the status of that name, in any case.
func parseStatus(name string) (status, bool) {
	s := status(strings.ToUpper(strings.TrimSpace(name)))
	return s, slices.Contains([]status{up, down, starting, outOfService, unknown}, s)
}

// UnmarshalText takes what is no status for unknown, as Eureka's clients do.
func (s *status) UnmarshalText(text []byte) error {
	known, ok := parseStatus(string(text))
	if !ok {
		known = unknown
	}
	*s = known
	return nil
}

// number is an integer that some clients write as text.
type number int64

func (n *number) UnmarshalJSON(data []byte) error {
	text := strings.TrimSpace(string(bytes.Trim(data, `"`)))
	if text == "" || text == "null" {
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%.40q is no whole number", text)
	}
	*n = number(v)
	return nil
}

// stamp is a time in milliseconds since 1970 that Eureka writes as text.
type stamp int64

func (s stamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatInt(int64(s), 10)), nil
}

func (s *stamp) UnmarshalJSON(data []byte) error { return (*number)(s).UnmarshalJSON(data) }

// flag is a truth value that Eureka writes as text, and others as one.
type flag bool

func (f flag) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatBool(bool(f))), nil
}

func (f *flag) UnmarshalJSON(data []byte) error {
	*f = flag(strings.EqualFold(string(bytes.Trim(data, `"`)), "true"))
	return nil
}

// port is a port that is in use or not: {"$":8080,"@enabled":"true"} or
// <port enabled="true">8080</port>.
type port struct {
	Number  number `json:"$" xml:",chardata"`
	Enabled flag   `json:"@enabled" xml:"enabled,attr"`
}

// dataCenter says where an instance runs; it is kept and given back.
type dataCenter struct {
	Class    string   `json:"@class,omitempty" xml:"class,attr,omitempty"`
	Name     string   `json:"name" xml:"name"`
	Metadata metadata `json:"metadata,omitempty" xml:"metadata,omitempty"`
}

// defaultDataCenter is the class that Java clients need for MyOwn.
const defaultDataCenter = "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"

// lease says how often an instance renews (seconds), and when it did
// (milliseconds since 1970).
type lease struct {
	Renewal    number `json:"renewalIntervalInSecs" xml:"renewalIntervalInSecs"`
	Duration   number `json:"durationInSecs" xml:"durationInSecs"`
	Eviction   number `json:"evictionDurationInSecs,omitempty" xml:"evictionDurationInSecs,omitempty"` // what a Go client calls the duration
	Registered number `json:"registrationTimestamp" xml:"registrationTimestamp"`
	Renewed    number `json:"lastRenewalTimestamp" xml:"lastRenewalTimestamp"`
	Evicted    number `json:"evictionTimestamp" xml:"evictionTimestamp"`
	Up         number `json:"serviceUpTimestamp" xml:"serviceUpTimestamp"`
}

// metadata is what an instance says of itself beyond Eureka's own fields.
type metadata map[string]string

// emptyMetadata is how Java writes that there is none.
const emptyMetadata = `{"@class":"java.util.Collections$EmptyMap"}`

func (m metadata) MarshalJSON() ([]byte, error) {
	if len(m) == 0 {
		return []byte(emptyMetadata), nil
	}
	return json.Marshal(map[string]string(m))
}

// UnmarshalJSON takes values that are no texts as they are written.
func (m *metadata) UnmarshalJSON(data []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	delete(values, "@class")
	*m = make(metadata, len(values))
	for key, value := range values {
		text := string(value)
		if text == "null" {
			continue
		}
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		}
		(*m)[key] = text
	}
	return nil
}

// MarshalXML writes one element for each; a key that cannot be the name of one
// is left out.
func (m metadata) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if len(m) == 0 {
		start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: "class"}, Value: "java.util.Collections$EmptyMap"})
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !elementName(key) {
			continue
		}
		if err := e.EncodeElement(m[key], xml.StartElement{Name: xml.Name{Local: key}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

// UnmarshalXML reads one element for each.
func (m *metadata) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	*m = make(metadata)
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			var value string
			if err := d.DecodeElement(&value, &token); err != nil {
				return err
			}
			(*m)[token.Name.Local] = value
		case xml.EndElement:
			return nil
		}
	}
}

// elementName reports whether a text can be the name of an XML element, as
// every parser reads it: letters, digits, '_', '-' and '.', a letter or '_'
// first.
func elementName(text string) bool {
	for i, c := range []byte(text) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '-' || c == '.')) {
			return false
		}
	}
	return text != ""
}
