package kernel

// RoundRows is Round without the pool: it may be called inside Run.
func (x *Exec) RoundRows(dst Operand, src []float32, lds int) {
	dst.check("RoundRows")
	checkDst("RoundRows: source", src, lds, dst.Rows, dst.Cols)
	j := rowsJob{c: dst.Cols, dst: dst, p0: src, lds: lds}
	for r := range dst.Rows {
		x.roundRow(&j, r)
	}
}
