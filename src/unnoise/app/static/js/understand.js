// Understand: the forward process, what the run predicts, and the schedules.

import { data } from "./common.js";
import { prepareForward } from "./forward.js";
import { fillSchedules, prepareSchedules } from "./schedules.js";

if (data.run.has_weights) {
  fillSchedules();
  const mark = prepareSchedules();
  prepareForward(mark);
}
