package wire

// ConfirmSelect turns on publisher confirms.
type ConfirmSelect struct {
	NoWait bool
}

// Key returns KeyConfirmSelect.
func (*ConfirmSelect) Key() MethodKey { return KeyConfirmSelect }

// AppendArgs implements [Method].
func (m *ConfirmSelect) AppendArgs(b []byte) []byte {
	return appendBits(b, m.NoWait)
}

func (m *ConfirmSelect) decode(r *argReader) {
	r.bits(&m.NoWait)
}

// ConfirmSelectOk confirms confirm mode.
type ConfirmSelectOk struct{}

// Key returns KeyConfirmSelectOk.
func (*ConfirmSelectOk) Key() MethodKey { return KeyConfirmSelectOk }

// AppendArgs implements [Method].
func (*ConfirmSelectOk) AppendArgs(b []byte) []byte { return b }

func (*ConfirmSelectOk) decode(*argReader) {}

// TxSelect makes the channel transactional.
type TxSelect struct{}

// Key returns KeyTxSelect.
func (*TxSelect) Key() MethodKey { return KeyTxSelect }

// AppendArgs implements [Method].
func (*TxSelect) AppendArgs(b []byte) []byte { return b }

func (*TxSelect) decode(*argReader) {}

// TxSelectOk confirms transactional mode.
type TxSelectOk struct{}

// Key returns KeyTxSelectOk.
func (*TxSelectOk) Key() MethodKey { return KeyTxSelectOk }

// AppendArgs implements [Method].
func (*TxSelectOk) AppendArgs(b []byte) []byte { return b }

func (*TxSelectOk) decode(*argReader) {}

// TxCommit commits the transaction.
type TxCommit struct{}

// Key returns KeyTxCommit.
func (*TxCommit) Key() MethodKey { return KeyTxCommit }

// AppendArgs implements [Method].
func (*TxCommit) AppendArgs(b []byte) []byte { return b }

func (*TxCommit) decode(*argReader) {}

// TxCommitOk confirms the commit.
type TxCommitOk struct{}

// Key returns KeyTxCommitOk.
func (*TxCommitOk) Key() MethodKey { return KeyTxCommitOk }

// AppendArgs implements [Method].
func (*TxCommitOk) AppendArgs(b []byte) []byte { return b }

func (*TxCommitOk) decode(*argReader) {}

// TxRollback abandons the transaction.
type TxRollback struct{}

// Key returns KeyTxRollback.
func (*TxRollback) Key() MethodKey { return KeyTxRollback }

// AppendArgs implements [Method].
func (*TxRollback) AppendArgs(b []byte) []byte { return b }

func (*TxRollback) decode(*argReader) {}

// TxRollbackOk confirms the rollback.
type TxRollbackOk struct{}

// Key returns KeyTxRollbackOk.
func (*TxRollbackOk) Key() MethodKey { return KeyTxRollbackOk }

// AppendArgs implements [Method].
func (*TxRollbackOk) AppendArgs(b []byte) []byte { return b }

func (*TxRollbackOk) decode(*argReader) {}
