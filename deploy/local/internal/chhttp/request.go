package chhttp

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/google/uuid"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// request is what a client asked for, put together from the URL and the headers.
type request struct {
	// query is the URL's part of the statement; the body follows it.
	query    string
	database string
	// format is the output format if the statement names none.
	format   string
	params   []chdb.Param
	settings []setting
	user     string
	password string
	// queryID names the statement in the answer's headers.
	queryID string
	// session is the name of a session that outlives the request, or empty.
	session        string
	sessionTimeout time.Duration
	sessionCheck   bool
	// revision is that of the Native blocks that the client reads.
	revision uint64
	// compress and decompress are ClickHouse's own compression of the answer and the request.
	compress, decompress bool
	compressMethod       string
	// encoding is the HTTP encoding of the answer, or empty.
	encoding string
	// external are tables that the client sends along.
	external []externalTable
	body     io.Reader
}

type setting struct{ name, value string }

const (
	defaultSessionTimeout = time.Minute
	maxSessionTimeout     = time.Hour
)

var settingRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// parseRequest reads the URL, the headers and a form; of the body it only unwraps
// the encodings.
func parseRequest(r *http.Request) (*request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, chdb.NewException(36, "BAD_ARGUMENTS", "Cannot parse the URL's parameters: %v", err)
	}
	q := &request{
		format: "TabSeparated", user: "default", queryID: uuid.NewString(),
		sessionTimeout: defaultSessionTimeout, encoding: acceptedEncoding(r.Header.Get("Accept-Encoding")),
	}
	body, err := decoder(r.Body, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	q.body = body
	q.credentials(r, values)
	if v := r.Header.Get("X-ClickHouse-Database"); v != "" {
		q.database = v
	}
	if v := r.Header.Get("X-ClickHouse-Format"); v != "" {
		q.format = v
	}
	if err := q.parameters(values); err != nil {
		return nil, err
	}
	if q.decompress {
		q.body = blockDecoder{compress.NewReader(q.body)}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		if err := q.multipart(r, values); err != nil {
			return nil, err
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		q.readonly()
	}
	return q, nil
}

// credentials looks at the headers first, then basic authentication, then the URL.
func (q *request) credentials(r *http.Request, values url.Values) {
	user, password := values.Get("user"), values.Get("password")
	if raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Basic "); ok {
		if text, err := base64.StdEncoding.DecodeString(raw); err == nil {
			user, password, _ = strings.Cut(string(text), ":")
		}
	}
	if r.Header.Get("X-ClickHouse-User") != "" || r.Header.Get("X-ClickHouse-Key") != "" {
		user, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	}
	if user != "" {
		q.user = user
	}
	q.password = password
}

// parameters sorts the URL's parameters: what is not the interface's own is a setting.
func (q *request) parameters(values url.Values) error {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := q.parameter(name, values.Get(name)); err != nil {
			return err
		}
	}
	return nil
}

func (q *request) parameter(name, value string) error {
	var err error
	switch name {
	case "query":
		q.query = value
	case "database":
		q.database = value
	case "default_format":
		q.format = value
	case "query_id":
		if value != "" {
			q.queryID = value
		}
	case "session_id":
		q.session = value
	case "session_timeout":
		var n int
		if n, err = strconv.Atoi(value); err == nil {
			q.sessionTimeout = min(time.Duration(n)*time.Second, maxSessionTimeout)
		}
	case "session_check":
		q.sessionCheck = value == "1"
	case "client_protocol_version":
		q.revision, err = strconv.ParseUint(value, 10, 64)
	case "compress":
		q.compress = value == "1"
	case "decompress":
		q.decompress = value == "1"
	case "enable_http_compression":
		if value == "0" {
			q.encoding = ""
		}
	case "user", "password", "quota_key", "stacktrace", "wait_end_of_query", "buffer_size", "role", "close_session":
	default:
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			q.params = append(q.params, chdb.Param{Name: p, Value: value})
			return nil
		}
		if name == "network_compression_method" {
			q.compressMethod = value
		}
		if !settingRE.MatchString(name) {
			return chdb.NewException(115, "UNKNOWN_SETTING", "Unknown setting '%s'", name)
		}
		q.settings = append(q.settings, setting{name, value})
	}
	if err != nil {
		return chdb.NewException(72, "CANNOT_PARSE_NUMBER", "Cannot parse %s=%s: it must be a number", name, value)
	}
	return nil
}

// readonly makes the request one that changes no data, unless it is that already.
func (q *request) readonly() {
	for _, s := range q.settings {
		if s.name == "readonly" && s.value != "0" {
			return
		}
	}
	q.settings = append(q.settings, setting{"readonly", "2"})
}

// set returns the SET statement of the request's settings, or nothing. The
// request's mark is put in where the client has no comment of its own.
func (q *request) set(mark string) string {
	all := q.settings
	if !q.commented() {
		all = append([]setting{{"log_comment", mark}}, all...)
	}
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = s.name + " = " + quote(s.value, '\'')
	}
	return "SET " + strings.Join(parts, ", ")
}

func (q *request) commented() bool {
	for _, s := range q.settings {
		if s.name == "log_comment" {
			return true
		}
	}
	return false
}

// quote writes a string literal or a quoted name.
func quote(s string, mark byte) string {
	var b strings.Builder
	b.WriteByte(mark)
	for i := range len(s) {
		switch c := s[i]; c {
		case mark, '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case 0:
			b.WriteString(`\0`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte(mark)
	return b.String()
}
