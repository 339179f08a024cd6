// What the page says: the sentences that change, in English and Korean, and the Korean for the
// sentences of index.html. Functions get numbers that are already written out.
"use strict";

const WORDS = {
  en: {
    item: "item", user: "user", unit: "unit", number: "number",
    X: "ratings", V: "encoder weight", mu: "encoder bias", Z: "activity", H: "codes",
    W: "decoder weight", b: "decoder bias", Y: "predictions", E: "errors where rated",
    DA: "two times the error", DW: "gradient of W", Db: "gradient of b", DH: "back through W",
    DZ: "back through the sigmoid", DV: "gradient of V", Dmu: "gradient of μ",
    holeCell: "hole", predicted: "prediction", wrong: "wrong",
    legend: ["rating, weight: change it", "hole", "prediction of a hole", "positive", "negative"],
    data: "data", penalty: "penalty", change: "change",
    isRating: "A rating. It is read by the codes of its row, and it is what y is measured against.",
    isHole: y => `A hole: nobody knows this rating. It adds nothing to z and has no error. The
      network predicts ${y}.`,
    isParameter: (d, about, really) => `A parameter. Its derivative is ${d}: raise it by 0.01, and J
      should change by about ${about}. It really changes by ${really}.`,
    isLambda: "The weight of the penalty: how dear large weights are.",
    noHoles: "Holes add nothing.",
    squash: "The sigmoid maps every number to one between 0 and 1.",
    prediction: "Nobody has rated this. The number is a prediction, so it has no error.",
    noError: "A hole is not in the sum (2): there is no error, and no derivative.",
    outer: "Only the ratings of this user count: the others have no error here.",
    sums: "A bias enters every row with the factor 1, so it gets the sum of the column.",
    back: "Every output of the row blames the code, through the weight that it reads it with.",
    slope: "h(1 − h) is the slope of the sigmoid: 1/4 at most, near 0 where h is near 0 or 1.",
    outerV: "Each rating that was read passes on the blame of its row.",
    objective: "What is to be made small: squared errors where rated, and the penalty.",
    withFault: right => `This is what the fault makes of it. Right would be ${right}.`,
    planted: (what, revealed) => `Planted: ${what}.` + (revealed ? " Wrong numbers are marked." : ""),
    unit1: "block", verdict: "verdict", worst: "worst entry", byHand: "by hand",
    numeric: "numeric", error: "relative error", taylor: "Taylor slope (2 if right)",
    pass: "pass", fail: "fail", exact: "exact",
    hit: "You said so.", missed: said => `You said: ${said}.`, nothing: "none",
    tally: (right, all) => `Right so far: ${right} of ${all}.`,
    blames: blocks => `Blamed: ${blocks}.`,
    all: "All four: the fault is where all of them come from, in the derivative by the outputs.",
    lower: "V and μ only: the fault is on the way from the decoder down to z, in (8) or (9).",
    both2: `The two weights, and no bias: that is the penalty. And this time the gradient is right:
      the fault is in J. The check sees that the two do not belong together, not which is wrong.`,
    one: "One block alone: the fault is in its own line.",
    clean: "Nothing is wrong, and nothing is blamed.",
    asleep: `No block is blamed, and yet the fault is there: with these numbers it changes nothing.
      A check is worth what its data exercise. Give it a rating of 0, or a λ above 0, and look again.`,
    unseen: `All pass, and the model is wrong: it learns to predict 0 for all that nobody has rated.
      The fault is in the value and in the gradient alike, so the gradient is the right one of the
      wrong function. No gradient check can see that. It takes a test of the value.`,
    faults: {
      none: "no fault", factor: "the 2 of the square forgotten", sign: "the error as x − y",
      mean: "mean over ratings, where J has a sum", mask: "holes not masked",
      zero: "a rating of 0 taken for a hole", half: "λ/2 instead of λ in front of W",
      activity: "Z instead of H in the product", bias: "the bias penalized too",
      swap: "V instead of W on the way back", slope: "h instead of h(1 − h)",
      before: "z(1 − z) instead of h(1 − h)", penalty: "the penalty on V forgotten",
      rows: "mean over the rows instead of the sum", value: "λ instead of λ/2, in J",
      both: "holes taken for zeros, in J and gradient",
    },
    errorAxis: "error", stepAxis: "step h", truncation: "~ h²", rounding: "~ ε / h",
    hsays: (h, errors) => `At h = ${h} the largest relative error is ${errors}.`,
    plateau: "A plateau that no h lowers: this gradient is wrong.",
    large: `Here truncation rules for V and μ: a step ten times smaller has an error a hundred times
      smaller. W and b have no such branch: J is quadratic in them, and central differences of a
      parabola are exact.`,
    valley: `The valley of V and μ, near ε^⅓ ≈ 6·10⁻⁶. W and b would rather have a larger step:
      there is no truncation to fear.`,
    small: "Here rounding rules: a step ten times smaller has an error ten times larger.",
    curves: "Relative error of the central difference against the step, a curve for each block",
    rule: "rule", rate: "rate", momentum: "momentum", plain: "none", steps: "steps",
    evaluations: "evaluations", go: n => n === 1 ? "1 step" : `${n} steps`,
    fled: "flew away: a smaller rate", done: "no lower value",
    contours: (x, y) => `Level lines of J over ${x} and ${y}, with the ways of the three rules`,
    walksays: (rule, x, J) => `${rule} is at ${x}, where J = ${J}.`,
    copied: "Copied.",
  },
  ko: {
    item: "아이템", user: "사용자", unit: "은닉 유닛", number: "번",
    X: "평점", V: "인코더 가중치", mu: "인코더 편향", Z: "활성화 전 값", H: "코드",
    W: "디코더 가중치", b: "디코더 편향", Y: "예측", E: "평점이 있는 곳의 오차",
    DA: "오차의 두 배", DW: "W의 그래디언트", Db: "b의 그래디언트", DH: "W를 거슬러",
    DZ: "시그모이드를 거슬러", DV: "V의 그래디언트", Dmu: "μ의 그래디언트",
    holeCell: "빈칸", predicted: "예측", wrong: "틀림",
    legend: ["평점·가중치: 바꿀 수 있음", "빈칸", "빈칸의 예측값", "양수", "음수"],
    data: "데이터 항", penalty: "정규화 항", change: "변화",
    isRating: "평점입니다. 이 행의 코드를 계산할 때 입력이 되고, y와 비교하는 정답도 됩니다.",
    isHole: y => `빈칸입니다. 아무도 이 평점을 모릅니다. z에 더하는 것이 없고 오차도 없습니다.
      신경망의 예측값은 ${y}입니다.`,
    isParameter: (d, about, really) => `파라미터입니다. 미분값은 ${d}입니다. 0.01만큼 키우면 J는 약
      ${about}만큼 변해야 합니다. 실제로는 ${really}만큼 변합니다.`,
    isLambda: "정규화의 세기입니다. 클수록 큰 가중치에 더 큰 벌점을 줍니다.",
    noHoles: "빈칸은 더하는 것이 없습니다.",
    squash: "시그모이드는 모든 수를 0과 1 사이로 보냅니다.",
    prediction: "아무도 매기지 않은 평점입니다. 이 값은 예측이므로 오차가 없습니다.",
    noError: "빈칸은 합 (2)에 들어가지 않습니다. 오차도 미분값도 없습니다.",
    outer: "이 사용자가 매긴 평점만 셉니다. 나머지 칸에는 오차가 없습니다.",
    sums: "편향은 모든 행에 계수 1로 더해지므로, 미분값은 열의 합입니다.",
    back: "이 행의 모든 출력이, 코드를 읽을 때 쓴 가중치를 통해 코드에 책임을 돌려줍니다.",
    slope: "h(1 − h)는 시그모이드의 기울기입니다. 최대 1/4이고, h가 0이나 1에 가까우면 0에 가깝습니다.",
    outerV: "입력으로 읽은 평점마다 그 행의 책임을 전달합니다.",
    objective: "작게 만들 값입니다. 평점이 있는 곳의 제곱 오차와 정규화 항의 합입니다.",
    withFault: right => `심은 버그 때문에 나온 값입니다. 옳은 값은 ${right}입니다.`,
    planted: (what, revealed) => `심은 버그: ${what}.` + (revealed ? " 틀린 수에 표시했습니다." : ""),
    unit1: "블록", verdict: "판정", worst: "최악의 성분", byHand: "손으로 유도",
    numeric: "수치 미분", error: "상대 오차", taylor: "테일러 기울기 (옳으면 2)",
    pass: "통과", fail: "실패", exact: "정확",
    hit: "예상이 맞았습니다.", missed: said => `예상한 답: ${said}.`, nothing: "없음",
    tally: (right, all) => `지금까지 ${all}번 중 ${right}번 맞혔습니다.`,
    blames: blocks => `지목된 블록: ${blocks}.`,
    all: "네 블록 모두입니다. 모두가 출발하는 곳, 곧 출력에 대한 미분에 버그가 있습니다.",
    lower: "V와 μ만입니다. 디코더에서 z로 내려가는 길, 곧 (8)이나 (9)에 버그가 있습니다.",
    both2: `두 가중치만이고 편향은 아닙니다. 곧 정규화 항입니다. 이번에는 그래디언트가 옳고 J가
      틀렸습니다. 검사는 둘이 서로 맞지 않는다는 것만 알 뿐, 어느 쪽이 틀렸는지는 모릅니다.`,
    one: "한 블록만입니다. 버그는 그 블록을 계산하는 줄에 있습니다.",
    clean: "틀린 것이 없고, 지목된 블록도 없습니다.",
    asleep: `지목된 블록이 없지만 버그는 있습니다. 지금의 수에서는 아무것도 바꾸지 않을 뿐입니다.
      검사는 데이터가 건드리는 곳만 봅니다. 평점 0을 넣거나 λ를 0보다 크게 하고 다시 보세요.`,
    unseen: `모두 통과하지만 모델은 틀렸습니다. 아무도 매기지 않은 평점을 모두 0으로 예측하도록
      배웁니다. 버그가 값과 그래디언트에 똑같이 있어서, 그래디언트는 틀린 함수의 옳은
      그래디언트입니다. 어떤 그래디언트 검사로도 볼 수 없고, 값 자체를 시험해야 합니다.`,
    faults: {
      none: "버그 없음", factor: "제곱을 미분한 2를 빠뜨림", sign: "오차를 x − y로 계산",
      mean: "J는 합인데 평점에 대해 평균을 냄", mask: "빈칸을 가리지 않음",
      zero: "평점 0을 빈칸으로 여김", half: "W 앞에 λ 대신 λ/2",
      activity: "곱에서 H 대신 Z를 사용", bias: "편향에도 정규화",
      swap: "돌아오는 길에 W 대신 V를 사용", slope: "h(1 − h) 대신 h",
      before: "h(1 − h) 대신 z(1 − z)", penalty: "V의 정규화를 빠뜨림",
      rows: "행의 합 대신 평균", value: "J에서 λ/2 대신 λ",
      both: "J와 그래디언트 모두에서 빈칸을 0으로 여김",
    },
    errorAxis: "오차", stepAxis: "간격 h", truncation: "~ h²", rounding: "~ ε / h",
    hsays: (h, errors) => `h = ${h}에서 가장 큰 상대 오차: ${errors}.`,
    plateau: "h를 어떻게 골라도 낮아지지 않는 고원입니다. 이 그래디언트는 틀렸습니다.",
    large: `V와 μ에서는 절단 오차가 지배합니다. 간격이 열 배 작아지면 오차는 백 배 작아집니다. W와
      b에는 이 부분이 없습니다. J는 W와 b에 대해 이차식이고, 포물선의 중심 차분은 정확합니다.`,
    valley: `V와 μ의 골짜기로, ε^⅓ ≈ 6·10⁻⁶ 근처입니다. 절단 오차가 없는 W와 b에는 더 큰 간격이
      낫습니다.`,
    small: "반올림 오차가 지배합니다. 간격이 열 배 작아지면 오차는 열 배 커집니다.",
    curves: "간격에 따른 중심 차분의 상대 오차, 블록마다 곡선 하나",
    rule: "방법", rate: "학습률", momentum: "모멘텀", plain: "없음", steps: "스텝",
    evaluations: "함수 계산", go: n => `${n}스텝`,
    fled: "발산: 학습률을 줄이세요", done: "더 낮은 값 없음",
    contours: (x, y) => `${x}와 ${y}에 대한 J의 등고선과 세 방법이 지나간 길`,
    walksays: (rule, x, J) => `${rule}의 위치는 ${x}, J = ${J}.`,
    copied: "복사했습니다.",
    // of index.html
    skip: "신경망으로 건너뛰기", pages: "다른 페이지", tour: "둘러보기 (영어)",
    derivation: "수식 유도 (영어)",
    title: "AutoRec, 모든 숫자를 직접",
    lead: `아이템 셋, 사용자 넷, 은닉 유닛 둘. 둘러보기에 나오는 신경망 전체입니다. 파라미터 스물두
      개가 모든 예측을 만들고, 오차의 책임도 하나하나 나누어 집니다. 숨긴 것은 없고, 무엇이든 만져
      볼 수 있습니다.`,
    h1: "순전파와 역전파",
    intro: `화살표를 따라 읽으세요. 평점은 코드가 되고 코드는 예측이 됩니다. 그다음 오차가 같은 길을
      거슬러 오며, 미분값은 저마다 원래 배열과 모양이 같습니다. 상자 안의 수는 모두 <b>바꿀</b> 수
      있습니다. 다른 수는 클릭하거나 Tab과 화살표 키로 <b>고르면</b> 무엇으로 만들어졌는지 보입니다.
      빈 상자는 빈칸이고, 0은 평점입니다.`,
    reset: "처음 숫자로", descend: "한 걸음 아래로: θ ← θ − 0.02 ∇J", remove: "없애기",
    why: "고른 수가 만들어진 방법", close: "닫기", drag: "끌어서 바꾸기:", hole: "빈칸으로",
    h2: "버그 심기",
    faultsIntro: `그래디언트 검사는 미분값을 J 자체의 차분과 블록별로 비교합니다. 버그를 심고, <b>어느
      블록이 지목될지 먼저 말해 보세요</b>. 미리 맞힐 수 있다면 역전파를 이해한 것입니다.`,
    choose: "버그:", guess: "검사는 어느 블록을 지목할까요? 모두 통과한다면 아무것도 고르지 마세요.",
    reveal: "결과 보기",
    h3: "간격 h는 얼마로?",
    stepsIntro: `검사는 [J(θ + h) − J(θ − h)] / 2h를 씁니다. h가 크면 곡률을 놓쳐 오차가 h²처럼
      커지고, h가 작으면 반올림에 묻혀 오차가 ε / h처럼 커집니다. 선을 끌거나 슬라이더를 움직이세요.`,
    h4: "내려가는 세 가지 길",
    walks: `파라미터 스물두 개 중 둘에 대한 J입니다. 나머지는 위의 값 그대로입니다. 세 방법 모두 고리
      표시에서 출발합니다. 그림을 클릭하면 출발점이 바뀝니다. SGD와 Adam은 논문의 스텝 그대로이고,
      L-BFGS는 직선마다 강한 울프 조건이 성립할 때까지 찾습니다.`,
    across: "가로", up: "세로", size: "범위 ±", from: "출발점", and: "그리고", restart: "다시 시작",
    h5: "보내기",
    send: `주소에는 숫자, 버그, 고른 수, 간격, 범위 등 설정한 것이 모두 들어 있습니다. 이 주소를 열면
      누구나 같은 화면을 봅니다.`,
    address: "이 상태의 주소", copy: "복사",
  },
};
