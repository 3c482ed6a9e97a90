package native
import ("testing";"context";"os";"fmt")
func TestBenchTmp(t *testing.T){
 n,err:=Open(os.Getenv("DLM_TEST_MODEL"),Options{}); if err!=nil{t.Fatal(err)}
 r,err:=n.BenchTrain(context.Background(),TrainBench{4,512,16,2}); fmt.Printf("%+v %v\n",r,err)
}
