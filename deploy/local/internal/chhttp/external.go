package chhttp

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/deploy/local/internal/chdb"
)

// externalTable is a table that a client sends along with a statement, in a
// multipart form. It becomes a temporary table of the request's session.
type externalTable struct{ name, format, structure, data string }

// maxFormBytes bounds a multipart form, which is held in memory.
const maxFormBytes = 64 << 20

// multipart reads a form: files are external tables, "query" is the statement and
// other fields are parameters as in the URL.
func (q *request) multipart(r *http.Request, values url.Values) error {
	form, err := r.MultipartReader()
	if err != nil {
		return chdb.NewException(36, "BAD_ARGUMENTS", "Cannot read the multipart form: %v", err)
	}
	room := int64(maxFormBytes)
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return chdb.NewException(36, "BAD_ARGUMENTS", "Cannot read the multipart form: %v", err)
		}
		data, err := readPart(part, &room)
		if err != nil {
			return err
		}
		name := part.FormName()
		if part.FileName() == "" && !values.Has(name+"_structure") && !values.Has(name+"_types") {
			if err := q.parameter(name, data); err != nil {
				return err
			}
			continue
		}
		q.external = append(q.external, externalTable{name: name, data: data})
	}
	q.body = strings.NewReader("")
	return q.describeExternal(values)
}

func readPart(part *multipart.Part, room *int64) (string, error) {
	data, err := io.ReadAll(io.LimitReader(part, *room+1))
	if err != nil {
		return "", chdb.NewException(36, "BAD_ARGUMENTS", "Cannot read the multipart form: %v", err)
	}
	if *room -= int64(len(data)); *room < 0 {
		return "", chdb.NewException(307, "TOO_MANY_BYTES", "The multipart form is larger than %d bytes", maxFormBytes)
	}
	return string(data), nil
}

// describeExternal takes NAME_format, NAME_structure and NAME_types out of the
// settings, where they were put as unknown names.
func (q *request) describeExternal(values url.Values) error {
	for i := range q.external {
		t := &q.external[i]
		t.format, t.structure = values.Get(t.name+"_format"), values.Get(t.name+"_structure")
		if t.format == "" {
			t.format = "TabSeparated"
		}
		if types := values.Get(t.name + "_types"); t.structure == "" && types != "" {
			for n, kind := range strings.Split(types, ",") {
				t.structure += fmt.Sprintf(", _%d %s", n+1, kind)
			}
			t.structure = strings.TrimPrefix(t.structure, ", ")
		}
		if t.structure == "" {
			return chdb.NewException(36, "BAD_ARGUMENTS", "Neither structure nor types are given for the external table %s", t.name)
		}
		kept := q.settings[:0]
		for _, s := range q.settings {
			if s.name != t.name+"_format" && s.name != t.name+"_structure" && s.name != t.name+"_types" {
				kept = append(kept, s)
			}
		}
		q.settings = kept
	}
	return nil
}

// fill makes the table in the connection's session.
func (t externalTable) fill(conn *chdb.Conn) error {
	name := quote(t.name, '`')
	if err := conn.Exec("CREATE TEMPORARY TABLE " + name + " (" + t.structure + ")"); err != nil {
		return err
	}
	stream, err := conn.Insert("INSERT INTO "+name, t.format, nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	if _, err := io.Copy(stream, strings.NewReader(t.data)); err != nil {
		return err
	}
	r, err := stream.Finish()
	if err != nil {
		return err
	}
	r.Free()
	return nil
}
