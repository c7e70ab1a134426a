package chdb

import (
	"errors"
	"runtime"
	"unsafe"
)

// Conn is a connection with its own session. It is not safe for concurrent use.
type Conn struct {
	lib  *Library
	conn *uintptr
}

// Param is the value of a query parameter, {name:Type} in the statement, in
// ClickHouse's escaped form.
type Param struct{ Name, Value string }

// Connect opens a connection.
func (l *Library) Connect() (*Conn, error) {
	argv := []*byte{cString("clickhouse"), cString(l.config)}
	l.connecting.Lock()
	conn := l.connect(int32(len(argv)), &argv[0])
	l.connecting.Unlock()
	runtime.KeepAlive(argv)
	if conn == nil {
		return nil, errors.New("cannot open the ClickHouse engine; it wrote the cause to its standard error")
	}
	return &Conn{l, conn}, nil
}

// Close ends the session and frees the connection.
func (c *Conn) Close() {
	c.lib.closeConn(c.conn)
	c.conn = nil
}

// Query runs a statement and returns its result in the given format, unless the
// statement names another. The error is an *Exception. The result must be freed.
func (c *Conn) Query(sql, format string, params []Param) (*Result, error) {
	p := pack(params)
	q, f := cString(sql), cString(format)
	r := &Result{lib: c.lib, result: c.lib.query(*c.conn, q, uintptr(len(sql)), f, uintptr(len(format)),
		p.names, p.nameLens, p.values, p.valueLens, uintptr(len(params)))}
	runtime.KeepAlive(p)
	if err := r.err(); err != nil {
		r.Free()
		return nil, err
	}
	return r, nil
}

// Exec runs a statement for its effect.
func (c *Conn) Exec(sql string) error {
	r, err := c.Query(sql, "Null", nil)
	if err != nil {
		return err
	}
	r.Free()
	return nil
}

// Insert opens a stream of rows. The statement is an INSERT up to where FORMAT or
// VALUES would stand; the format is that of the data. Until the stream is closed
// the connection can do nothing else.
func (c *Conn) Insert(sql, format string, params []Param) (*InsertStream, error) {
	p := pack(params)
	q, f := cString(sql), cString(format)
	s := &InsertStream{lib: c.lib, stream: c.lib.insert(*c.conn, q, uintptr(len(sql)), f, uintptr(len(format)),
		p.names, p.nameLens, p.values, p.valueLens, uintptr(len(params)))}
	runtime.KeepAlive(p)
	if text := goString(c.lib.insertError(s.stream)); text != "" {
		s.Close()
		return nil, ParseException(text)
	}
	return s, nil
}

// InsertStream takes the data of one INSERT, cut anywhere.
type InsertStream struct {
	lib      *Library
	stream   uintptr
	finished bool
}

// Write hands data to the engine and may wait for it. After an error, Finish
// says what was wrong.
func (s *InsertStream) Write(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	if s.lib.insertAppend(s.stream, &data[0], uintptr(len(data))) != 0 {
		if text := goString(s.lib.insertError(s.stream)); text != "" {
			return 0, ParseException(text)
		}
		return 0, errors.New("the engine has ended the insert")
	}
	return len(data), nil
}

// Finish commits the rows. The result must be freed.
func (s *InsertStream) Finish() (*Result, error) {
	r := &Result{lib: s.lib, result: s.lib.insertDone(s.stream)}
	s.finished = true
	if err := r.err(); err != nil {
		r.Free()
		return nil, err
	}
	return r, nil
}

// Close frees the stream. Without Finish, what is not yet committed is dropped.
func (s *InsertStream) Close() {
	if !s.finished {
		s.lib.insertCancel(s.stream)
	}
	s.lib.insertDestroy(s.stream)
}

// Result is what a statement gave.
type Result struct {
	lib    *Library
	result uintptr
}

// Bytes returns the formatted result. It is the library's memory, valid until Free.
func (r *Result) Bytes() []byte {
	n := r.lib.resultLength(r.result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice(r.lib.resultBuffer(r.result), n)
}

// Stats are the counts of a statement.
type Stats struct{ ReadRows, ReadBytes, WrittenRows, WrittenBytes, ResultRows uint64 }

// Stats returns what the statement read and wrote.
func (r *Result) Stats() Stats {
	return Stats{
		ReadRows: r.lib.resultRowsRead(r.result), ReadBytes: r.lib.resultBytesRead(r.result),
		WrittenRows: r.lib.resultRowsWritten(r.result), WrittenBytes: r.lib.resultWritten(r.result),
		ResultRows: r.lib.resultRows(r.result),
	}
}

// Free gives the memory back.
func (r *Result) Free() { r.lib.resultDestroy(r.result) }

func (r *Result) err() error {
	if text := goString(r.lib.resultError(r.result)); text != "" {
		return ParseException(text)
	}
	return nil
}

// packed are parameters as C arrays.
type packed struct {
	names, values       **byte
	nameLens, valueLens *uintptr
}

func pack(params []Param) packed {
	if len(params) == 0 {
		return packed{}
	}
	n := len(params)
	texts, lens := make([]*byte, 2*n), make([]uintptr, 2*n)
	for i, p := range params {
		texts[i], lens[i] = cString(p.Name), uintptr(len(p.Name))
		texts[n+i], lens[n+i] = cString(p.Value), uintptr(len(p.Value))
	}
	return packed{&texts[0], &texts[n], &lens[0], &lens[n]}
}
