/** Train. */
export const TrainView = () => <h1>Train</h1>;
