// Package chdb runs the ClickHouse engine inside this process: libchdb.so, loaded
// with purego, so that no C compiler is needed to build.
//
// The library is a singleton: one data folder per process, opened by Open. Its
// connections are cheap (0.3 ms), carry a session each (database, settings,
// temporary tables), and are not safe for concurrent use; the engine behind them
// is. Results stay in the library's memory until they are freed.
package chdb

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is the loaded library. Its functions are those of chdb.h.
type Library struct {
	// config is the argument that names the configuration, the same for every connection.
	config string
	// keeper holds the engine open while no other connection is: the last one to
	// close stops it.
	keeper *Conn
	// connecting makes connections one at a time: each resets the process's signal handlers.
	connecting sync.Mutex

	connect           func(argc int32, argv **byte) *uintptr
	closeConn         func(conn *uintptr)
	query             func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) uintptr
	insert            func(conn uintptr, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) uintptr
	insertAppend      func(stream uintptr, data *byte, n uintptr) int32
	insertDone        func(stream uintptr) uintptr
	insertCancel      func(stream uintptr)
	insertError       func(stream uintptr) *byte
	insertDestroy     func(stream uintptr)
	resultBuffer      func(result uintptr) *byte
	resultLength      func(result uintptr) uintptr
	resultError       func(result uintptr) *byte
	resultRows        func(result uintptr) uint64
	resultRowsRead    func(result uintptr) uint64
	resultBytesRead   func(result uintptr) uint64
	resultRowsWritten func(result uintptr) uint64
	resultWritten     func(result uintptr) uint64
	resultDestroy     func(result uintptr)
	setSignalHandlers func(enabled int32)
}

// Open loads the library and starts the engine with a configuration file, which
// names the data folder. It can be called once in a process.
func Open(library, configFile string) (*Library, error) {
	if _, err := os.Stat(library); err != nil {
		return nil, fmt.Errorf("cannot load the ClickHouse library: %w; fetch it with: make engine", err)
	}
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("cannot load the ClickHouse library %q: %w; it needs glibc on this system's architecture; "+
			"to use a server instead, set TALLYGATE_CLICKHOUSE_URL or put a clickhouse binary on the PATH", library, err)
	}
	l := &Library{config: "--config-file=" + configFile}
	for _, s := range l.symbols() {
		address, err := purego.Dlsym(handle, s.name)
		if err != nil {
			return nil, fmt.Errorf("cannot use the ClickHouse library %q: it has no %s; fetch the right one with: make engine", library, s.name)
		}
		purego.RegisterFunc(s.function, address)
	}
	// The library's handlers would take signals from Go's runtime on stacks that Go does not know.
	l.setSignalHandlers(0)
	if l.keeper, err = l.Connect(); err != nil {
		return nil, err
	}
	return l, nil
}

// Close stops the engine. All other connections must be closed already.
func (l *Library) Close() { l.keeper.Close() }

type symbol struct {
	name     string
	function any
}

func (l *Library) symbols() []symbol {
	return []symbol{
		{"chdb_connect", &l.connect},
		{"chdb_close_conn", &l.closeConn},
		{"chdb_query_with_params_n", &l.query},
		{"chdb_stream_insert_with_params_n", &l.insert},
		{"chdb_stream_append", &l.insertAppend},
		{"chdb_stream_done", &l.insertDone},
		{"chdb_stream_cancel_insert", &l.insertCancel},
		{"chdb_stream_insert_error", &l.insertError},
		{"chdb_destroy_insert_stream", &l.insertDestroy},
		{"chdb_result_buffer", &l.resultBuffer},
		{"chdb_result_length", &l.resultLength},
		{"chdb_result_error", &l.resultError},
		{"chdb_result_rows_read", &l.resultRows},
		{"chdb_result_storage_rows_read", &l.resultRowsRead},
		{"chdb_result_storage_bytes_read", &l.resultBytesRead},
		{"chdb_result_rows_written", &l.resultRowsWritten},
		{"chdb_result_bytes_written", &l.resultWritten},
		{"chdb_destroy_query_result", &l.resultDestroy},
		{"chdb_set_signal_handlers_enabled", &l.setSignalHandlers},
	}
}

// cString returns the text with a zero byte behind it.
func cString(s string) *byte { return &append([]byte(s), 0)[0] }

// goString copies a zero-terminated string of the library; nil is empty.
func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
