package wire

import "testing"

// The benchmark compares ways to find a method's handler: one switch over the key as the server does it, hot methods asked for
// first, and a switch over the class with a switch over the method inside. The stream is what a busy connection sends.

var dispatchStream = func() []MethodKey {
	keys := make([]MethodKey, 0, 1024)
	for i := range cap(keys) {
		switch {
		case i%64 == 63:
			keys = append(keys, KeyQueueDeclare)
		case i%8 == 7:
			keys = append(keys, KeyBasicAck)
		default:
			keys = append(keys, KeyBasicPublish)
		}
	}
	return keys
}()

func dispatchOne(k MethodKey) int {
	switch k {
	case KeyBasicPublish:
		return 1
	case KeyBasicAck:
		return 2
	case KeyBasicNack:
		return 3
	case KeyBasicReject:
		return 4
	case KeyBasicGet:
		return 5
	case KeyBasicConsume:
		return 6
	case KeyBasicCancel:
		return 7
	case KeyBasicQos:
		return 8
	case KeyBasicRecover:
		return 9
	case KeyQueueDeclare:
		return 10
	case KeyQueueBind:
		return 11
	case KeyQueueUnbind:
		return 12
	case KeyQueuePurge:
		return 13
	case KeyQueueDelete:
		return 14
	case KeyExchangeDeclare:
		return 15
	case KeyExchangeDelete:
		return 16
	case KeyExchangeBind:
		return 17
	case KeyExchangeUnbind:
		return 18
	case KeyChannelOpen:
		return 19
	case KeyChannelClose:
		return 20
	case KeyChannelFlow:
		return 21
	case KeyConfirmSelect:
		return 22
	case KeyTxSelect:
		return 23
	case KeyTxCommit:
		return 24
	case KeyTxRollback:
		return 25
	}
	return 0
}

func dispatchHotFirst(k MethodKey) int {
	if k == KeyBasicPublish {
		return 1
	}
	if k == KeyBasicAck {
		return 2
	}
	return dispatchOne(k)
}

func dispatchTwo(k MethodKey) int {
	switch k.Class() {
	case ClassConnection:
		return 0
	case ClassChannel:
		switch k.Method() {
		case 10:
			return 19
		case 40:
			return 20
		case 20:
			return 21
		}
	case ClassExchange:
		switch k.Method() {
		case 10:
			return 15
		case 20:
			return 16
		case 30:
			return 17
		case 40:
			return 18
		}
	case ClassQueue:
		switch k.Method() {
		case 10:
			return 10
		case 20:
			return 11
		case 50:
			return 12
		case 30:
			return 13
		case 40:
			return 14
		}
	case ClassBasic:
		switch k.Method() {
		case 40:
			return 1
		case 80:
			return 2
		case 120:
			return 3
		case 90:
			return 4
		case 70:
			return 5
		case 20:
			return 6
		case 30:
			return 7
		case 10:
			return 8
		case 110:
			return 9
		}
	case ClassConfirm:
		if k.Method() == 10 {
			return 22
		}
	case ClassTx:
		switch k.Method() {
		case 10:
			return 23
		case 20:
			return 24
		case 30:
			return 25
		}
	}
	return 0
}

func TestDispatchVariantsAgree(t *testing.T) {
	for k, name := range methodNames {
		if one, hot, two := dispatchOne(k), dispatchHotFirst(k), dispatchTwo(k); one != two || one != hot {
			t.Errorf("%s: %d, %d, %d", name, one, hot, two)
		}
	}
}

func BenchmarkDispatch(b *testing.B) {
	for _, c := range []struct {
		name string
		f    func(MethodKey) int
	}{{"one-switch", dispatchOne}, {"hot-first", dispatchHotFirst}, {"two-level", dispatchTwo}} {
		b.Run(c.name, func(b *testing.B) {
			var sum, i int
			for b.Loop() {
				sum += c.f(dispatchStream[i&1023])
				i++
			}
			if sum == 0 {
				b.Fatal("nothing dispatched")
			}
		})
	}
}
